#pragma once
// What the tests of trained attention share.
#include "support.hpp"

namespace headflow::testing_support {

inline Sampling sobol(std::int64_t samples, int replicates = 8, std::uint64_t seed = 1) {
  return {.samples = samples, .replicates = replicates, .seed = seed};
}

/// L tokens of a prior; the heads do not matter.
inline Model sequences(int tokens, const Prior& prior) {
  return {{tokens, 1, prior.features()}, Softmax{}, prior};
}

/// theta = sqrt(nu) or -sqrt(nu), F = 1.
inline Prior opposite_directions(double nu) {
  return discrete_prior(Matrix{{std::sqrt(nu)}, {-std::sqrt(nu)}}, Vector{{0.5, 0.5}});
}

/// Three atoms of unequal weights and lengths, and one of weight zero; F = 2.
inline Prior unequal_atoms() {
  return discrete_prior(Matrix{{1.5, 0.5}, {9, 9}, {-1, 1}, {0.25, -2}},
                        Vector{{0.6, 0, 0.3, 0.1}});
}

/// theory.md section 2: sigma_{h,l} of one sequence from its fields (H x L), in the plainest way.
inline Matrix reference_sigma(const Activation& activation, const Matrix& chi, const Vector& b,
                              double v) {
  const std::string_view name = name_of(activation);
  Matrix e = chi.array().exp();
  if (trained_by(activation).b) e = b.array().exp().matrix().asDiagonal() * e;
  if (name == "bayes-softmax") return static_cast<double>(chi.rows()) * e / e.sum();
  const double sink = reference_sink(activation);
  const Vector total = e.rowwise().sum().array() + sink;
  return (trained_by(activation).v ? v : 1) * total.cwiseInverse().asDiagonal() * e;
}

}  // namespace headflow::testing_support
