#pragma once
#include <span>
#include <utility>
#include <variant>
#include <vector>

#include "headflow/model/law.hpp"

namespace headflow {

/// The law P_theta of the feature weights: one of the kinds of laws. Every named prior of the paper
/// is a function below that builds a Prior.
class Prior {
 public:
  using Law = std::variant<MixtureLaw, ProductLaw>;
  explicit Prior(Law law) : law_(std::move(law)) {}

  const Law& law() const { return law_; }
  int features() const {
    return std::visit([](const auto& law) { return law.features(); }, law_);
  }
  /// E[theta] (F).
  Vector mean() const {
    return std::visit([](const auto& law) { return law.mean(); }, law_);
  }
  /// Gamma = E[theta theta'] (F x F).
  Matrix second_moment() const {
    return std::visit([](const auto& law) { return law.second_moment(); }, law_);
  }
  /// The law of A theta for an F x F matrix A.
  Prior transformed(const Matrix& A) const {
    return std::visit([&](const auto& law) { return Prior(law.transformed(A)); }, law_);
  }
  /// True when theta_f -> signs_f theta_f, signs of 1 and -1 (F), leaves the law as it is, to
  /// 1e-12.
  bool invariant_under_signs(const Vector& signs) const {
    return std::visit([&](const auto& law) { return law.invariant_under_signs(signs); }, law_);
  }
  /// How many uniform coordinates a draw of theta uses.
  int draw_dimension() const {
    return std::visit([](const auto& law) { return law.draw_dimension(); }, law_);
  }
  /// theta (F) from draw_dimension() uniforms in (0,1) and their normal quantiles.
  void draw(std::span<const double> uniforms, std::span<const double> normals,
            std::span<double> theta) const {
    std::visit([&](const auto& law) { law.draw(uniforms, normals, theta); }, law_);
  }

 private:
  Law law_;
};

/// theta = (sqrt(nu_1), +-sqrt(nu_2)), the sign a fair coin; F = 2.
Prior flipping_spike(double nu_1, double nu_2);
/// theta = sqrt(nu) e_f, f uniform on 1..F.
Prior canonical_spikes(int features, double nu);
/// theta ~ N(0, diag(nu_1 .. nu_F)), linearly spaced.
Prior anisotropic_gaussian(int features, double nu_1, double nu_F);
/// Any atoms (N x F) and probabilities (N). Throws InputError unless these are non-negative and sum
/// to one.
Prior discrete_prior(const Matrix& atoms, const Vector& weights);
/// N(mean, covariance). Throws InputError unless the covariance is symmetric positive
/// semi-definite.
Prior gaussian_prior(const Vector& mean, const Matrix& covariance);
/// N(means_n, covariances[n]) with probability weights[n]; a covariance of zero makes an atom.
/// Throws InputError as the two above do.
Prior mixture_prior(const Matrix& means, const std::vector<Matrix>& covariances,
                    const Vector& weights);
/// theta_f = mean_f + sqrt(nu_f) s_f, the s_f independent, each with its own law.
Prior product_prior(const std::vector<FeatureLaw>& laws, const Vector& nu, const Vector& mean);

}  // namespace headflow
