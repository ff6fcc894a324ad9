#pragma once
#include "headflow/model/parameters.hpp"
#include "population/sample_means.hpp"

namespace headflow {

/// log E_theta exp(theta . x - |theta|^2 / 2) for tokens x in R^F, by its closed form: the
/// unnormalised log posterior that a token is the relevant one (theory.md, section 6). Finite for
/// any finite x.
class Posterior {
 public:
  using Real = Lanes<double>;

  explicit Posterior(const Prior& prior);

  /// For one token in each lane; x has F vectors.
  Real log_evidence(const Real* x);

 private:
  int F_;
  // Discrete: log sum_n exp(atoms_n . x + offset_n). Gaussian N(mu, Lambda Lambda'):
  // mean . x + offset + |root (x - mean)|^2 / 2 with root = C^-1 Lambda', C C' = I + Lambda'
  // Lambda.
  bool discrete_;
  Matrix atoms_;
  Vector offsets_;
  Vector mean_;
  Matrix root_;
  AlignedVector<Real> scores_;
};

struct BayesRisk {
  double risk = 0;
  double stderr_ = 0;
  std::int64_t samples = 0;
};

/// The Bayes risk E[ sum_l (delta_{l,eps} - p_l)^2 ] = 1 - E[ sum_l p_l^2 ], p the posterior of the
/// location (averaged over it in closed form), for L tokens of `prior`. The number of samples is
/// doubled from sampling.samples (or `most_samples`, if that is less) until the standard error
/// reaches `wanted_stderr` or there would be more than `most_samples`; it needs two replicates at
/// least. `between` is called before each doubling; what it throws comes out. Collective.
BayesRisk bayes_risk(const Communicator& comm, int tokens, const Prior& prior, Sampling sampling,
                     double wanted_stderr, std::int64_t most_samples,
                     const std::function<void()>& between = nullptr);

/// Prop. IV.2: for a discrete prior with N <= H atoms, the K, b with which Bayes-softmax is the
/// Bayes estimator: m_h = theta_h, r = 0, b_h = -|theta_h|^2/2 + log P(theta_h); heads beyond the
/// N-th share an atom. `signal` is the law of S' theta. Throws InputError for another prior, or H <
/// N.
Parameters bayes_parameters(const Shape& shape, const Prior& signal);

}  // namespace headflow
