#pragma once
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "headflow/model/shape.hpp"

namespace headflow {

/// theta takes row i of `atoms` (N x F) with probability weights[i].
struct DiscreteLaw {
  Matrix atoms;
  Vector weights;
};

/// theta ~ N(mean, factor factor').
struct GaussianLaw {
  Vector mean;
  Matrix factor;
};

/// The law P_theta of the feature weights. Every named prior of the paper is one of two laws; a new
/// one is a function below that builds a Prior.
class Prior {
 public:
  using Law = std::variant<DiscreteLaw, GaussianLaw>;
  explicit Prior(Law law);

  int features() const;
  const Law& law() const { return law_; }
  /// E[theta] (F).
  Vector mean() const;
  /// Gamma = E[theta theta'] (F x F).
  Matrix second_moment() const;
  /// The law of A theta for an F x F matrix A; with A = S' it is the signal seen through finite-D
  /// spikes.
  Prior transformed(const Matrix& A) const;
  /// True when theta_f -> signs_f theta_f, signs of 1 and -1 (F), leaves the law as it is.
  bool invariant_under_signs(const Vector& signs) const;
  /// The same with sign changes of the features in `mask` (bit f for feature f < 32).
  bool invariant_under_flips(unsigned mask) const;
  /// How many uniform coordinates a draw of theta uses: 1 (discrete) or F (Gaussian).
  int draw_dimension() const;
  /// theta (F) from draw_dimension() uniforms in (0,1) and their normal quantiles.
  void draw(std::span<const double> uniforms, std::span<const double> normals,
            std::span<double> theta) const;

 private:
  Law law_;
  std::vector<double> cumulative_;  // of a discrete law
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

}  // namespace headflow
