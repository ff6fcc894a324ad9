#pragma once
// What the tests of trained attention share.
#include "headflow/train/bayes_risk.hpp"
#include "model/law_formulas.hpp"
#include "support.hpp"

namespace headflow::testing_support {

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

/// log E_theta exp(theta . x - |theta|^2 / 2) of every row of x, the rows in turn in every lane.
inline Vector log_evidence(const Prior& prior, const Matrix& x) {
  constexpr int lanes = lane_count<double>;
  Posterior posterior(prior);
  Vector found(x.rows());
  AlignedVector<Posterior::Real> tokens(static_cast<std::size_t>(x.cols()));
  for (Eigen::Index row = 0; row < x.rows(); ++row) {
    const int lane = static_cast<int>(row % lanes);
    for (int i = 0; i < lanes; ++i)
      for (Eigen::Index f = 0; f < x.cols(); ++f)
        tokens[static_cast<std::size_t>(f)][i] = x((row + i - lane + x.rows()) % x.rows(), f);
    found[row] = posterior.log_evidence(tokens.data())[lane];
  }
  return found;
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
