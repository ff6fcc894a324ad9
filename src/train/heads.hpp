#pragma once
#include "core/lanes.hpp"
#include "headflow/model/model.hpp"
#include "headflow/model/parameters.hpp"

namespace headflow {

/// sigma_{h,l} of sequences side by side (theory.md, section 2).
class Heads {
 public:
  using Real = Lanes<double>;

  Heads(const Model& model, const Parameters& parameters);

  /// H x L, for the tokens x[l * P + p] in each lane.
  const AlignedVector<Real>& operator()(const Real* x);

 private:
  Shape shape_;
  Activation activation_;
  Parameters parameters_;
  AlignedVector<Real> sigma_, A_;
};

}  // namespace headflow
