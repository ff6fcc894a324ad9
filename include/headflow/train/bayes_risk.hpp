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
/// location (averaged over it in closed form), for L tokens of model.signal.
///
/// Half of the samples are from the model's density p, half from a density q in which the relevant
/// token and another one lie where signal and noise are mistaken for each other: their density is
/// sqrt(noise * signal) normalised, which a Gaussian law has exactly and a discrete one atom by
/// atom (halfway to each). Each sample of either counts with the weight p / ((p + q) / 2) <= 2, so
/// that the relative error hardly grows as the risk falls, to 1e-70 and below, and is no larger
/// than that of samples of p alone where the risk is not small.
///
/// The number of samples is doubled from sampling.samples (or options.samples, if that is less)
/// until the standard error reaches options.standard_error or there would be more than
/// options.samples; it needs two replicates at least. Collective; asks control.within_step() before
/// each doubling and about every 2^18 samples of a rank.
BayesRisk bayes_risk(const Communicator& comm, const Model& model, Sampling sampling,
                     const BayesOptions& options, Control& control = Control::none());

/// Throws InputError when Sobol points have fewer dimensions than these samples.
void require_bayes_samples(const Model& model, const Sampling& sampling);

/// Prop. IV.2: for a discrete prior with N <= H atoms, the K, b with which Bayes-softmax is the
/// Bayes estimator: m_h = theta_h, r = 0, b_h = -|theta_h|^2/2 + log P(theta_h); heads beyond the
/// N-th share an atom. `signal` is the law of S' theta. Throws InputError for another prior, or H <
/// N.
Parameters bayes_parameters(const Shape& shape, const Prior& signal);

}  // namespace headflow
