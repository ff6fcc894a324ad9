#include "headflow/train/bayes_risk.hpp"

#include <fmt/format.h>

#include <Eigen/Cholesky>
#include <cmath>

#include "headflow/core/error.hpp"

namespace headflow {

using Real = Posterior::Real;

Posterior::Posterior(const Prior& prior)
    : F_(prior.features()), discrete_(std::holds_alternative<DiscreteLaw>(prior.law())) {
  if (const auto* law = std::get_if<DiscreteLaw>(&prior.law())) {
    atoms_.resize(0, F_);
    std::vector<double> offsets;
    for (Eigen::Index n = 0; n < law->atoms.rows(); ++n) {
      if (law->weights[n] <= 0) continue;
      atoms_.conservativeResize(atoms_.rows() + 1, Eigen::NoChange);
      atoms_.bottomRows(1) = law->atoms.row(n);
      offsets.push_back(std::log(law->weights[n]) - 0.5 * law->atoms.row(n).squaredNorm());
    }
    offsets_ = Eigen::Map<const Vector>(offsets.data(), atoms_.rows());
    scores_.resize(offsets.size());
    return;
  }
  const auto& law = std::get<GaussianLaw>(prior.law());
  mean_ = law.mean;
  const Eigen::MatrixXd inverse =
      Eigen::MatrixXd::Identity(F_, F_) + law.factor.transpose() * law.factor;
  const Eigen::LLT<Eigen::MatrixXd> cholesky(inverse);
  root_ = cholesky.matrixL().solve(Eigen::MatrixXd(law.factor.transpose()));
  const double log_det = 2 * Eigen::MatrixXd(cholesky.matrixL()).diagonal().array().log().sum();
  offsets_ = Vector::Constant(1, -0.5 * mean_.squaredNorm() - 0.5 * log_det);
}

Real Posterior::log_evidence(const Real* x) {
  if (!discrete_) {
    Real value = broadcast(offsets_[0]);
    for (int f = 0; f < F_; ++f) value += mean_[f] * x[f];
    for (Eigen::Index row = 0; row < root_.rows(); ++row) {
      Real y{};
      for (int f = 0; f < F_; ++f) y += root_(row, f) * (x[f] - mean_[f]);
      value += 0.5 * y * y;
    }
    return value;
  }
  Real top = broadcast(-std::numeric_limits<double>::infinity());
  for (std::size_t n = 0; n < scores_.size(); ++n) {
    const auto row = static_cast<Eigen::Index>(n);
    scores_[n] = broadcast(offsets_[row]);
    for (int f = 0; f < F_; ++f) scores_[n] += atoms_(row, f) * x[f];
    top = lane_max(top, scores_[n]);
  }
  Real sum{};
  for (const Real& score : scores_) sum += exp_nonpositive(score - top);
  return top + lane_log(sum);
}

BayesRisk bayes_risk(const Communicator& comm, int tokens, const Prior& prior, Sampling sampling,
                     double wanted_stderr, std::int64_t most_samples,
                     const std::function<void()>& between) {
  // Tokens without the directions of heads: x_l = delta_{l,1} theta + z_l in R^F.
  const Shape shape{tokens, 0, prior.features()};
  const int F = shape.features;
  constexpr int lanes = lane_count<double>;
  Posterior posterior(prior);
  AlignedVector<Real> p(static_cast<std::size_t>(tokens));
  const auto block_sums = [&](const double* x, std::int64_t count, std::span<double> sums) {
    const auto* tokens_of_group = reinterpret_cast<const Real*>(x);
    Real risk{};
    for (std::int64_t first = 0; first < count; first += lanes, tokens_of_group += tokens * F) {
      Real top = broadcast(-std::numeric_limits<double>::infinity());
      for (int l = 0; l < tokens; ++l) {
        p[static_cast<std::size_t>(l)] = posterior.log_evidence(tokens_of_group + l * F);
        top = lane_max(top, p[static_cast<std::size_t>(l)]);
      }
      Real sum{};
      for (Real& q : p) sum += q = exp_nonpositive(q - top);
      Real squares{};
      for (const Real& q : p) squares += q * q;
      const Real here = 1.0 - squares / (sum * sum);
      for (int i = 0; i < lanes; ++i) risk[i] += first + i < count ? here[i] : 0;
    }
    sums[0] = lane_sum<double>(risk);
  };
  sampling.symmetric = false;
  sampling.samples =
      std::max<std::int64_t>(1, std::min(sampling.samples, most_samples) / sampling.replicates) *
      sampling.replicates;
  BayesRisk result;
  for (;; sampling.samples *= 2) {
    const SampleMeans means = sample_means(comm, shape, prior, sampling, 1, block_sums);
    result = {means.mean[0],
              means.standard_error([](const std::vector<double>& mean) { return mean[0]; }),
              sampling.samples};
    if (result.stderr_ <= wanted_stderr || 2 * sampling.samples > most_samples) return result;
    if (between) between();
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
