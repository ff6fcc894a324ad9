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
#include "headflow/core/statistics.hpp"
#include "model/law_formulas.hpp"
#include "population/sample_means.hpp"

namespace headflow {
namespace {

using Real = Posterior::Real;

/// The law whose tokens, of density f, are drawn from sqrt(noise density * f) normalised: those
/// that noise and signal are most often mistaken for. A mixture's is that of each atom.
Prior overlap_with_noise(const DiscreteLaw& law) {
  const Vector squares = law.atoms.rowwise().squaredNorm();
  const Vector weights =
      law.weights.array().sqrt() * (-(squares.array() - squares.minCoeff()) / 8).exp();
  return Prior(DiscreteLaw(0.5 * law.atoms, weights / weights.sum()));
}

Prior overlap_with_noise(const GaussianLaw& law) {
  const SymmetricEigen covariance(law.factor * law.factor.transpose());
  const Vector c = covariance.values.cwiseMax(0);
  const Eigen::MatrixXd& V = covariance.vectors;
  const auto with = [&](const Vector& values) -> Matrix {
    return V * values.asDiagonal() * V.transpose();
  };
  return Prior(GaussianLaw{with((c.array() + 2).inverse()) * law.centre,
                           with((c.array() / (c.array() + 2)).sqrt())});
}

Prior overlap_with_noise(const Prior& prior) {
  return std::visit([](const auto& law) { return overlap_with_noise(law); }, prior.law());
}

/// Phi(x).
double normal_distribution(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

/// The risk of sequences under a mixture of two densities, half of them from each: the model's own,
/// p, and q, in which token 1 and another one are drawn from the overlap of signal and noise. One
/// token of q has the numbers that the draw of the other's theta needs.
class RiskSums {
 public:
  RiskSums(const Prior& signal, const Prior& overlap, int tokens)
      : F_(signal.features()),
        L_(tokens),
        signal_(signal),
        overlap_(overlap),
        overlap_law_(overlap),
        tokens_(static_cast<std::size_t>(L_ * F_)) {}

  /// Sums over sequences of p.
  double of_signal(const double* x, std::int64_t count) {
    return sum(count, [&](std::int64_t group) {
      return risk(reinterpret_cast<const Real*>(x) + group * L_ * F_);
    });
  }

  /// Sums over sequences of q, with its L + 1 tokens.
  double of_overlap(const double* x, std::int64_t count) {
    return sum(count, [&](std::int64_t group) {
      const Real* all = reinterpret_cast<const Real*>(x) + group * (L_ + 1) * F_;
      std::copy_n(all, L_ * F_, tokens_.begin());
      std::copy_n(all + L_ * F_, F_, tokens_.begin() + F_);
      add_theta(all + F_, &tokens_[static_cast<std::size_t>(F_)]);
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

  void add_theta(const Real* numbers, Real* token) {
    std::vector<double> normals(static_cast<std::size_t>(F_)), u(normals), theta(normals);
    for (int i = 0; i < lane_count<double>; ++i) {
      for (std::size_t f = 0; f < u.size(); ++f)
        u[f] = normal_distribution(normals[f] = numbers[f][i]);
      overlap_law_.draw(u, normals, theta);
      for (std::size_t f = 0; f < u.size(); ++f) token[f][i] += theta[f];
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
  AlignedVector<Real> tokens_, scores_;
};

}  // namespace

void BayesOptions::declare_keys(KeyVisitor& visitor) {
  visitor.key({"standard_error", "samples are doubled until it is reached"}, standard_error,
              positive);
  visitor.key({"samples", "the most samples"}, samples, {.least = 1, .most = 4e9});
}

void require_bayes_samples(const Model& model, const Sampling& sampling) {
  require_samples({model.shape.tokens + 1, 0, model.shape.features}, model.signal, sampling);
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
        comm, {L + 1, 0, F}, overlap, others, 1,
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
