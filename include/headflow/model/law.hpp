#pragma once
#include <span>
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

/// theta takes row i of `atoms` (N x F) with probability weights[i]. A draw uses one uniform.
struct DiscreteLaw {
  DiscreteLaw(Matrix atoms, Vector weights);

  int features() const { return static_cast<int>(atoms.cols()); }
  Vector mean() const { return atoms.transpose() * weights; }
  Matrix second_moment() const { return atoms.transpose() * weights.asDiagonal() * atoms; }
  DiscreteLaw transformed(const Matrix& A) const { return {atoms * A.transpose(), weights}; }
  bool invariant_under_signs(const Vector& signs) const;
  int draw_dimension() const { return 1; }
  void draw(std::span<const double> uniforms, std::span<const double> normals,
            std::span<double> theta) const;

  Matrix atoms;
  Vector weights;

 private:
  std::vector<double> cumulative_;  // of the weights
};

/// theta ~ N(centre, factor factor'). A draw uses F uniforms.
struct GaussianLaw {
  int features() const { return static_cast<int>(centre.size()); }
  Vector mean() const { return centre; }
  Matrix second_moment() const { return factor * factor.transpose() + centre * centre.transpose(); }
  GaussianLaw transformed(const Matrix& A) const { return {A * centre, A * factor}; }
  bool invariant_under_signs(const Vector& signs) const;
  int draw_dimension() const { return features(); }
  void draw(std::span<const double> uniforms, std::span<const double> normals,
            std::span<double> theta) const;

  Vector centre;
  Matrix factor;
};

}  // namespace headflow
