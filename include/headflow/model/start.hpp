#pragma once
#include <cstdint>

#include "headflow/model/parameters.hpp"

namespace headflow {

/// Where a flow starts: the parameters, and the Cholesky factor S of the spikes' Gram matrix k* k*'
/// = S S' (F x F, identity as D -> infinity). K = [m | u] is in coordinates of an orthonormal basis
/// of the span of the spikes, so m_{hf} = k_h . k*_f is (K[:, :F] S')_{hf}.
struct Start {
  Parameters parameters;
  Matrix spike_factor;
};

/// The overlaps of k*_f ~ N(0, I_D/D) and k_h ~ N(0, eta^2 I_D/D), drawn from their exact law
/// without building vectors: the Cholesky factor of their Gram matrix is a Bartlett factor T (T_ii
/// = sqrt(chi^2_{D-i}), below it N(0,1)) over sqrt(D). D from F + H to 1e12 and beyond.
/// `orthonormal_spikes` replaces S by the identity. b = 0, v = 1. Throws InputError when D < F + H.
Start random_start(const Shape& shape, double dimension, double eta, bool orthonormal_spikes,
                   std::uint64_t seed);

/// m = noise N(0,1) entries, u = eta I + noise (N + N')/2, hence r = u u' near eta^2 I; b = 0, v =
/// 1, S = I.
Start noisy_start(const Shape& shape, double noise, double eta, std::uint64_t seed);

/// How random starts scatter to leading order: their mean, and the variances of the entries of m
/// and of r, which are independent (theory.md section 11). b and v do not scatter.
struct StartSpread {
  Parameters mean;                 ///< K = [0 | eta I], b = 0, v = 1
  double m = 0;                    ///< Var m_hf
  double r_same = 0, r_other = 0;  ///< Var r_hh, and Var r_hh' of two heads
};
/// Of random_start with orthonormal spikes: eta^2 / D, 2 eta^4 / D and eta^4 / D.
StartSpread random_start_spread(const Shape& shape, double dimension, double eta);
/// Of noisy_start: noise^2, 4 eta^2 noise^2 and 2 eta^2 noise^2.
StartSpread noisy_start_spread(const Shape& shape, double noise, double eta);

/// Given order parameters m (H x F), r (H x H), b (H), v, with S = I. Throws InputError unless r is
/// positive semi-definite.
Start explicit_start(const Matrix& m, const Matrix& r, const Vector& b, double v);

/// The state with overlaps m (H x F), components u (H x H) outside the span of spikes of Gram
/// matrix `spike_gram` (F x F): K = [m S'^-1 | u]. Throws InputError when `spike_gram` is not
/// positive definite.
Start start_from_state(const Matrix& m, const Matrix& u, const Matrix& spike_gram, const Vector& b,
                       double v);

}  // namespace headflow
