#pragma once
#include <span>
#include <utility>
#include <vector>

#include "headflow/core/matrix.hpp"

namespace headflow {

// The kinds of laws that the feature weights theta (F numbers) can have. A kind is one struct here,
// listed once in Prior::Law; its log evidence is in model/law_formulas.hpp.
//
// mean() is E[theta] (F), second_moment() is E[theta theta'] (F x F), transformed(A) is the law of
// A theta for an F x F matrix A. invariant_under_signs(signs) tells whether theta_f -> signs_f
// theta_f, signs of 1 and -1 (F), leaves the law as it is. draw() makes theta from draw_dimension()
// uniforms in (0,1) and their normal quantiles.

/// theta ~ N(row n of centres, factors[n] factors[n]') with probability weights[n]: atoms (factors
/// without columns), Gaussians, and mixtures of both. A draw uses F uniforms for the normals, none
/// of them where all are atoms, and one before for n where there is a choice.
struct MixtureLaw {
  /// Atoms.
  MixtureLaw(Matrix centres, Vector weights);
  /// Centres N x F, weights N, a factor F x F for each Gaussian and F x 0 for each atom.
  MixtureLaw(Matrix centres, Vector weights, std::vector<Matrix> factors);

  int features() const { return static_cast<int>(centres.cols()); }
  Vector mean() const { return centres.transpose() * weights; }
  Matrix second_moment() const;
  MixtureLaw transformed(const Matrix& A) const;
  bool invariant_under_signs(const Vector& signs) const;
  int draw_dimension() const { return (chooses_ ? 1 : 0) + (atomic() ? 0 : features()); }
  void draw(std::span<const double> uniforms, std::span<const double> normals,
            std::span<double> theta) const;
  /// True where all components are atoms.
  bool atomic() const { return atomic_; }

  Matrix centres;
  Vector weights;
  std::vector<Matrix> factors;

 private:
  bool atomic_ = true;
  bool chooses_ = true;
  std::vector<double> cumulative_;  // of the weights
};

/// One number of mean zero and variance one, from one uniform by the inverse of its distribution.
struct FeatureLaw {
  enum class Kind {
    signs,     ///< 1 or -1
    gaussian,  ///< N(0, 1)
    uniform,   ///< between -sqrt(3) and sqrt(3)
    sparse     ///< N(0, 1 / density) with probability density, else 0
  };
  Kind kind = Kind::gaussian;
  double density = 1;

  double draw(double uniform, double normal) const;
};

/// theta = centre + mixing s, the F numbers s_f independent, each with its own law; mixing is F x
/// F, diagonal where the features are independent. A draw uses F uniforms.
struct ProductLaw {
  int features() const { return static_cast<int>(centre.size()); }
  Vector mean() const { return centre; }
  Matrix second_moment() const { return mixing * mixing.transpose() + centre * centre.transpose(); }
  ProductLaw transformed(const Matrix& A) const { return {laws, A * mixing, A * centre}; }
  bool invariant_under_signs(const Vector& signs) const;
  int draw_dimension() const { return features(); }
  void draw(std::span<const double> uniforms, std::span<const double> normals,
            std::span<double> theta) const;
  /// True where the features are independent.
  bool independent() const { return mixing.isDiagonal(0); }

  std::vector<FeatureLaw> laws;
  Matrix mixing;
  Vector centre;
};

}  // namespace headflow
