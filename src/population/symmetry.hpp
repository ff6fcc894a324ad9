#pragma once
#include <vector>

#include "headflow/model/parameters.hpp"
#include "headflow/model/prior.hpp"

namespace headflow {

/// A transformation g of the samples x that leaves their law as it is: a permutation and sign
/// changes of the P coordinates. The loss of the image set at K is the loss of the base set at K g,
/// so images are never stored.
class SampleSymmetry {
 public:
  /// Shifts the H coordinates of w cyclically by `shift` and multiplies feature f by signs[f], 1 or
  /// -1.
  SampleSymmetry(const Shape& shape, int shift, const Vector& signs);

  /// K g: the parameters at which the base set has the loss that the image set has at K.
  Matrix apply(const Matrix& K) const;
  /// G g': the gradient with respect to K from that with respect to K g.
  Matrix pull_back(const Matrix& gradient) const;

 private:
  std::vector<int> source_;   // column c of K g is column source_[c] of K ...
  std::vector<double> sign_;  // ... times sign_[c]
};

/// The closed set of theory.md section 5: all cyclic head shifts times all sign flips under which
/// the prior is invariant, the identity first. Throws InputError when there are more than 4096.
std::vector<SampleSymmetry> closed_set(const Shape& shape, const Prior& prior);

}  // namespace headflow
