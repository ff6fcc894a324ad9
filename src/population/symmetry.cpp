#include "population/symmetry.hpp"

#include <cmath>
#include <string>

#include "headflow/core/error.hpp"

namespace headflow {

SampleSymmetry::SampleSymmetry(const Shape& shape, int shift, const Vector& signs)
    : source_(static_cast<std::size_t>(shape.coordinates())), sign_(source_.size(), 1.0) {
  for (int f = 0; f < shape.features; ++f) {
    source_[static_cast<std::size_t>(f)] = f;
    sign_[static_cast<std::size_t>(f)] = signs[f];
  }
  for (int h = 0; h < shape.heads; ++h)
    source_[static_cast<std::size_t>(shape.features + h)] =
        shape.features + (h + shift) % shape.heads;
}

Matrix SampleSymmetry::apply(const Matrix& K) const {
  Matrix image(K.rows(), K.cols());
  for (std::size_t c = 0; c < source_.size(); ++c)
    image.col(static_cast<Eigen::Index>(c)) = sign_[c] * K.col(source_[c]);
  return image;
}

Matrix SampleSymmetry::pull_back(const Matrix& gradient) const {
  Matrix result(gradient.rows(), gradient.cols());
  for (std::size_t c = 0; c < source_.size(); ++c)
    result.col(source_[c]) = sign_[c] * gradient.col(static_cast<Eigen::Index>(c));
  return result;
}

std::vector<SampleSymmetry> closed_set(const Shape& shape, const Prior& prior) {
  constexpr std::size_t most = 4096;
  std::vector<SampleSymmetry> set;
  // Only features without a mean can be flipped; 2^12 of their subsets are already more than the
  // limit allows.
  const Vector mean = prior.mean();
  std::vector<int> candidates;
  for (int f = 0; f < shape.features; ++f)
    if (std::abs(mean[f]) <= 1e-12 * (1 + mean.norm())) candidates.push_back(f);
  if (candidates.size() > 12)
    throw InputError(
        "population.symmetric: more than 12 features without a mean have too many sign flips; use "
        "symmetric = false");
  for (unsigned subset = 0; subset < 1u << candidates.size(); ++subset) {
    Vector signs = Vector::Ones(shape.features);
    for (std::size_t i = 0; i < candidates.size(); ++i)
      if (subset >> i & 1u) signs[candidates[i]] = -1;
    if (subset != 0 && !prior.invariant_under_signs(signs)) continue;
    for (int shift = 0; shift < shape.heads; ++shift) set.emplace_back(shape, shift, signs);
    if (set.size() > most)
      throw InputError("population.symmetric: the closed set has more than " +
                       std::to_string(most) +
                       " images of each sample (cyclic head shifts times "
                       "sign flips); use fewer heads or features, or symmetric = false");
  }
  return set;
}

}  // namespace headflow
