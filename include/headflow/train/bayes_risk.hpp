#pragma once
#include <cstdint>

#include "headflow/core/control.hpp"
#include "headflow/core/mpi.hpp"
#include "headflow/model/model.hpp"
#include "headflow/model/parameters.hpp"
#include "headflow/population/sampling.hpp"

namespace headflow {

class KeyVisitor;

struct BayesOptions {
  double standard_error = 1e-5;                  ///< at which the samples are enough
  std::int64_t samples = std::int64_t{1} << 26;  ///< the most

  void declare_keys(KeyVisitor& visitor);
};

struct BayesRisk {
  double risk = 0;
  double error = 0;  ///< standard error of the risk, from the replicates
  std::int64_t samples = 0;
};

/// The Bayes risk E[ sum_l (delta_{l,eps} - p_l)^2 ] = 1 - E[ sum_l p_l^2 ], p the posterior of the
/// location (averaged over it in closed form), for L tokens of model.signal. The number of samples
/// is doubled from sampling.samples (or options.samples, if that is less) until the standard error
/// reaches options.standard_error or there would be more than options.samples; it needs two
/// replicates at least. Collective; asks control.within_step() before each doubling and about every
/// 2^18 samples of a rank.
BayesRisk bayes_risk(const Communicator& comm, const Model& model, Sampling sampling,
                     const BayesOptions& options, Control& control = Control::none());

/// Prop. IV.2: for a discrete prior with N <= H atoms, the K, b with which Bayes-softmax is the
/// Bayes estimator: m_h = theta_h, r = 0, b_h = -|theta_h|^2/2 + log P(theta_h); heads beyond the
/// N-th share an atom. `signal` is the law of S' theta. Throws InputError for another prior, or H <
/// N.
Parameters bayes_parameters(const Shape& shape, const Prior& signal);

}  // namespace headflow
