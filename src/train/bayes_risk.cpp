#include "headflow/train/bayes_risk.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <variant>
#include <vector>

#include "core/eigen.hpp"
#include "headflow/core/error.hpp"
#include "headflow/core/keys.hpp"
#include "headflow/core/local_range.hpp"
#include "headflow/core/statistics.hpp"
#include "model/law_formulas.hpp"
#include "population/sample_means.hpp"

namespace headflow {
namespace {

using Real = Posterior::Real;

/// The law whose tokens, of density f, are drawn from sqrt(noise density * f) normalised: those
/// that noise and signal are most often mistaken for. A mixture's is that of each component, of
/// which it counts the square root of the weight times int sqrt(noise density * f).
Prior overlap_with_noise(const MixtureLaw& law) {
  Matrix centres = law.centres;
  std::vector<Matrix> factors;
  Vector logs(law.weights.size());
  for (Eigen::Index n = 0; n < logs.size(); ++n) {
    const Vector centre = law.centres.row(n);
    const Matrix& factor = law.factors[static_cast<std::size_t>(n)];
    logs[n] = 0.5 * std::log(law.weights[n]);
    if (factor.cols() == 0) {
      centres.row(n) *= 0.5;
      factors.emplace_back(factor);
      logs[n] -= centre.squaredNorm() / 8;
      continue;
    }
    const SymmetricEigen covariance(factor * factor.transpose());
    const Vector c = covariance.values.cwiseMax(0);
    const Eigen::MatrixXd& V = covariance.vectors;
    const auto with = [&](const Vector& values) -> Matrix {
      return V * values.asDiagonal() * V.transpose();
    };
    const Vector moved = with((c.array() + 2).inverse()) * centre;
    centres.row(n) = moved;
    factors.push_back(with((c.array() / (c.array() + 2)).sqrt()));
    logs[n] +=
        ((1 + c.array()).log() / 4 - (1 + c.array() / 2).log() / 2).sum() - centre.dot(moved) / 4;
  }
  const Vector weights = (logs.array() - logs.maxCoeff()).exp();
  return Prior(MixtureLaw(centres, weights / weights.sum(), std::move(factors)));
}

/// Near that law: each feature halfway to noise, a Gaussian one exactly.
Prior overlap_with_noise(const ProductLaw& law) {
  ProductLaw overlap = law;
  for (Eigen::Index f = 0; f < law.centre.size(); ++f) {
    FeatureLaw& feature = overlap.laws[static_cast<std::size_t>(f)];
    double shrunk = 0.5;
    const double variance = std::pow(law.mixing(f, f), 2) / feature.density;
    if (feature.kind == FeatureLaw::Kind::gaussian || feature.kind == FeatureLaw::Kind::sparse)
      shrunk = 1 / std::sqrt(variance + 2);
    if (feature.kind == FeatureLaw::Kind::sparse) {
      const double drawn =
          std::sqrt(feature.density) * std::pow(1 + variance, 0.25) / std::sqrt(1 + variance / 2);
      const double density = drawn / (drawn + std::sqrt(1 - feature.density));
      shrunk *= std::sqrt(density / feature.density);
      feature.density = density;
    }
    overlap.mixing.row(f) *= shrunk;
    overlap.centre[f] *= feature.kind == FeatureLaw::Kind::gaussian ? shrunk * shrunk : 0.5;
  }
  return Prior(overlap);
}

Prior overlap_with_noise(const Prior& prior) {
  return std::visit([](const auto& law) { return overlap_with_noise(law); }, prior.law());
}

/// Phi(x).
double normal_distribution(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

/// The risk of sequences under a mixture of two densities, half of them from each: the model's own,
/// p, and q, in which token 1 and another one are drawn from the overlap of signal and noise. The
/// other's own numbers, and tokens past the L + 1 where these are too few, are those of the draw of
/// its theta.
class RiskSums {
 public:
  RiskSums(const Prior& signal, const Prior& overlap, int tokens)
      : F_(signal.features()),
        L_(tokens),
        signal_(signal),
        overlap_(overlap),
        overlap_law_(overlap),
        tokens_(static_cast<std::size_t>(L_ * F_)),
        numbers_(static_cast<std::size_t>((1 + spare_tokens(overlap)) * F_)),
        uniforms_(static_cast<std::size_t>(overlap.draw_dimension())),
        normals_(uniforms_),
        theta_(static_cast<std::size_t>(F_)) {}

  /// The tokens past L + 1 that a sequence of q has.
  static int spare_tokens(const Prior& overlap) {
    return static_cast<int>(divided_up(overlap.draw_dimension(), overlap.features())) - 1;
  }

  /// Sums over sequences of p.
  double of_signal(const double* x, std::int64_t count) {
    return sum(count, [&](std::int64_t group) {
      return risk(reinterpret_cast<const Real*>(x) + group * L_ * F_);
    });
  }

  /// Sums over sequences of q.
  double of_overlap(const double* x, std::int64_t count) {
    return sum(count, [&](std::int64_t group) {
      const int spare = spare_tokens(overlap_law_);
      const Real* all = reinterpret_cast<const Real*>(x) + group * (L_ + 1 + spare) * F_;
      std::copy_n(all, L_ * F_, tokens_.begin());
      std::copy_n(all + L_ * F_, F_, tokens_.begin() + F_);
      std::copy_n(all + F_, F_, numbers_.begin());
      std::copy_n(all + (L_ + 1) * F_, spare * F_, numbers_.begin() + F_);
      add_theta(&tokens_[static_cast<std::size_t>(F_)]);
      return risk(tokens_.data());
    });
  }

 private:
  template <class Risk>
  double sum(std::int64_t count, Risk&& risk_of_group) {
    constexpr int lanes = lane_count<double>;
    Real all{};
    for (std::int64_t first = 0; first < count; first += lanes) {
      const Real here = risk_of_group(first / lanes);
      for (int i = 0; i < lanes; ++i) all[i] += first + i < count ? here[i] : 0;
    }
    return lane_sum<double>(all);
  }

  void add_theta(Real* token) {
    for (int i = 0; i < lane_count<double>; ++i) {
      for (std::size_t d = 0; d < uniforms_.size(); ++d)
        uniforms_[d] = normal_distribution(normals_[d] = numbers_[d][i]);
      overlap_law_.draw(uniforms_, normals_, theta_);
      for (std::size_t f = 0; f < theta_.size(); ++f) token[f][i] += theta_[f];
    }
  }

  /// log sum_l exp(score_l), and sum_{k < l} exp(score_k + score_l) / (sum_l exp(score_l))^2.
  struct Scores {
    Real log_sum, pairs;
  };
  Scores scores(Posterior& posterior, const Real* x) {
    AlignedVector<Real>& score = scores_;
    score.resize(static_cast<std::size_t>(L_));
    Real top = broadcast(-std::numeric_limits<double>::infinity());
    for (int l = 0; l < L_; ++l) {
      score[static_cast<std::size_t>(l)] = posterior.log_evidence(x + l * F_);
      top = lane_max(top, score[static_cast<std::size_t>(l)]);
    }
    Real sum{}, pairs{};
    for (const Real& one : score) {
      const Real e = exp_nonpositive(one - top);
      pairs += sum * e;
      sum += e;
    }
    return {top + lane_log(sum), pairs / (sum * sum)};
  }

  /// (1 - sum_l p_l^2) p / ((p + q) / 2), densities and risk averaged over the order of the tokens:
  /// p is proportional to sum_l exp(score_l) / L, q to the mean of exp(score_k + score_l).
  Real risk(const Real* x) {
    const Scores own = scores(signal_, x);
    const Scores others = scores(overlap_, x);
    const Real log_p = own.log_sum - std::log(L_);
    const Real log_q = 2 * others.log_sum + lane_log(others.pairs * (2.0 / (L_ * (L_ - 1.0))));
    const Real top = lane_max(log_p, log_q);
    const Real p = exp_nonpositive(log_p - top);
    return 2 * own.pairs * p / (0.5 * (p + exp_nonpositive(log_q - top)));
  }

  int F_, L_;
  Posterior signal_, overlap_;
  Prior overlap_law_;
  AlignedVector<Real> tokens_, numbers_, scores_;
  std::vector<double> uniforms_, normals_, theta_;
};

}  // namespace

void BayesOptions::declare_keys(KeyVisitor& visitor) {
  visitor.key({"standard_error", "standard error to reach; samples are doubled until then"},
              standard_error, positive);
  visitor.key({"samples", "limit on the samples"}, samples, {.least = 1, .most = 4e9});
}

void require_bayes_samples(const Model& model, const Sampling& sampling) {
  const Posterior known(model.signal);
  const Prior overlap = overlap_with_noise(model.signal);
  const int tokens = model.shape.tokens + 1 + RiskSums::spare_tokens(overlap);
  require_samples({tokens, 0, model.shape.features}, overlap, sampling);
}

BayesRisk bayes_risk(const Communicator& comm, const Model& model, Sampling sampling,
                     const BayesOptions& options, Control& control) {
  const auto& [L, H, F] = model.shape;
  const Prior overlap = overlap_with_noise(model.signal);
  RiskSums risk(model.signal, overlap, L);
  sampling.symmetric = false;
  sampling.samples = std::max<std::int64_t>(1, std::min(sampling.samples, options.samples) /
                                                   (2 * sampling.replicates)) *
                     sampling.replicates;
  for (;; sampling.samples *= 2) {
    // Tokens have no coordinates of heads here.
    const SampleMeans own = sample_means(
        comm, {L, 0, F}, model.signal, sampling, 1,
        [&](const double* x, std::int64_t count, std::span<double> sums) {
          sums[0] = risk.of_signal(x, count);
        },
        control);
    Sampling others = sampling;
    others.first_replicate += sampling.replicates;
    const SampleMeans shifted = sample_means(
        comm, {L + 1 + RiskSums::spare_tokens(overlap), 0, F}, overlap, others, 1,
        [&](const double* x, std::int64_t count, std::span<double> sums) {
          sums[0] = risk.of_overlap(x, count);
        },
        control);
    std::vector<double> each;
    for (std::size_t r = 0; r < own.replicates.size(); ++r)
      each.push_back(0.5 * (own.replicates[r][0] + shifted.replicates[r][0]));
    const BayesRisk found{0.5 * (own.mean[0] + shifted.mean[0]), standard_error(each),
                          2 * sampling.samples};
    if (found.error <= options.standard_error || 2 * found.samples > options.samples) return found;
    control.within_step();
  }
}

Parameters bayes_parameters(const Shape& shape, const Prior& signal) {
  const auto* law = std::get_if<MixtureLaw>(&signal.law());
  if (law == nullptr || !law->atomic())
    throw InputError(
        "a start from the Bayes estimator needs a prior of atoms alone, which Gaussians and "
        "products "
        "are not (signs can be written as \"discrete\")");
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
    parameters.K.row(h).head(shape.features) = law->centres.row(n);
    parameters.b[h] =
        -0.5 * law->centres.row(n).squaredNorm() + std::log(law->weights[n] / sharing);
  }
  return parameters;
}

}  // namespace headflow
