#pragma once
#include "core/lanes.hpp"
#include "headflow/model/model.hpp"
#include "headflow/model/parameters.hpp"

namespace headflow {

/// Some of a model's heads on sequences side by side (theory.md, section 2): tokens x[l * P + p] in
/// each lane.
class Heads {
 public:
  using Real = Lanes<double>;

  /// The heads that `parameters` has rows of, as if there were no others.
  Heads(const Model& model, const Parameters& parameters);

  /// chi_{h,l} (heads x L).
  const AlignedVector<Real>& fields(const Real* x);
  /// sigma_{h,l} (heads x L), in the place of the fields.
  const AlignedVector<Real>& operator()(const Real* x);

 private:
  int L_;
  Activation activation_;
  Parameters parameters_;
  AlignedVector<Real> sigma_, A_;
};

}  // namespace headflow
