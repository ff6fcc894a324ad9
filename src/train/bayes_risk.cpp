#include "headflow/train/bayes_risk.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <variant>
#include <vector>

#include "headflow/core/error.hpp"
#include "headflow/core/keys.hpp"
#include "model/law_formulas.hpp"
#include "population/sample_means.hpp"

namespace headflow {
namespace {

/// Sums of 1 - sum_l p_l^2 over sequences of L tokens.
class RiskSums {
 public:
  RiskSums(const Prior& signal, int tokens)
      : F_(signal.features()), posterior_(signal), p_(static_cast<std::size_t>(tokens)) {}

  double operator()(const double* x, std::int64_t count) {
    constexpr int lanes = lane_count<double>;
    const auto L = static_cast<int>(p_.size());
    const auto* tokens = reinterpret_cast<const Real*>(x);
    Real risk{};
    for (std::int64_t first = 0; first < count; first += lanes, tokens += L * F_) {
      Real top = broadcast(-std::numeric_limits<double>::infinity());
      for (int l = 0; l < L; ++l) {
        p_[static_cast<std::size_t>(l)] = posterior_.log_evidence(tokens + l * F_);
        top = lane_max(top, p_[static_cast<std::size_t>(l)]);
      }
      Real sum{};
      for (Real& q : p_) sum += q = exp_nonpositive(q - top);
      Real squares{};
      for (const Real& q : p_) squares += q * q;
      const Real here = 1.0 - squares / (sum * sum);
      for (int i = 0; i < lanes; ++i) risk[i] += first + i < count ? here[i] : 0;
    }
    return lane_sum<double>(risk);
  }

 private:
  using Real = Posterior::Real;
  int F_;
  Posterior posterior_;
  AlignedVector<Real> p_;
};

}  // namespace

void BayesOptions::declare_keys(KeyVisitor& visitor) {
  visitor.key({"standard_error", "samples are doubled until it is reached"}, standard_error,
              positive);
  visitor.key({"samples", "the most samples"}, samples, {.least = 1, .most = 4e9});
}

BayesRisk bayes_risk(const Communicator& comm, const Model& model, Sampling sampling,
                     const BayesOptions& options, Control& control) {
  // Tokens without the directions of heads: x_l = delta_{l,1} theta + z_l in R^F.
  const Shape shape{model.shape.tokens, 0, model.shape.features};
  RiskSums risk(model.signal, shape.tokens);
  const auto block_sums = [&](const double* x, std::int64_t count, std::span<double> sums) {
    sums[0] = risk(x, count);
  };
  sampling.symmetric = false;
  sampling.samples =
      std::max<std::int64_t>(1, std::min(sampling.samples, options.samples) / sampling.replicates) *
      sampling.replicates;
  for (;; sampling.samples *= 2) {
    const SampleMeans means =
        sample_means(comm, shape, model.signal, sampling, 1, block_sums, control);
    const double error =
        means.standard_error([](const std::vector<double>& mean) { return mean[0]; });
    if (error <= options.standard_error || 2 * sampling.samples > options.samples)
      return {means.mean[0], error, sampling.samples};
    control.within_step();
  }
}

Parameters bayes_parameters(const Shape& shape, const Prior& signal) {
  const auto* law = std::get_if<DiscreteLaw>(&signal.law());
  if (law == nullptr)
    throw InputError("a start from the Bayes estimator needs a prior with atoms, not a Gaussian");
  std::vector<Eigen::Index> atoms;
  for (Eigen::Index n = 0; n < law->weights.size(); ++n)
    if (law->weights[n] > 0) atoms.push_back(n);
  const auto N = static_cast<int>(atoms.size());
  if (shape.heads < N)
    throw InputError(fmt::format(
        "a start from the Bayes estimator needs a head for each of the {} atoms, found {} heads", N,
        shape.heads));
  Parameters parameters = Parameters::zero(shape);
  parameters.v = 1;
  for (int h = 0; h < shape.heads; ++h) {
    const Eigen::Index n = atoms[static_cast<std::size_t>(h % N)];
    const int sharing = (shape.heads - 1 - h % N) / N + 1;
    parameters.K.row(h).head(shape.features) = law->atoms.row(n);
    parameters.b[h] = -0.5 * law->atoms.row(n).squaredNorm() + std::log(law->weights[n] / sharing);
  }
  return parameters;
}

}  // namespace headflow
