#pragma once
// The log evidence of each law, apart from law.hpp so that only kernels pay for compiling lanes.
#include <Eigen/Cholesky>
#include <cmath>
#include <limits>
#include <utility>
#include <variant>
#include <vector>

#include "core/lanes.hpp"
#include "headflow/model/prior.hpp"

namespace headflow {

/// log E_theta exp(theta . x - |theta|^2 / 2) for tokens x in R^F, by its closed form: the
/// unnormalised log posterior that a token is the relevant one (theory.md, section 6). Finite for
/// any finite x. Called with one token in each lane; x has F vectors.
template <class Law>
class LogEvidence;

/// log sum_n exp(atoms_n . x + offset_n).
template <>
class LogEvidence<DiscreteLaw> {
 public:
  using Real = Lanes<double>;

  explicit LogEvidence(const DiscreteLaw& law) : F_(law.features()), atoms_(0, F_) {
    for (Eigen::Index n = 0; n < law.atoms.rows(); ++n) {
      if (law.weights[n] <= 0) continue;
      atoms_.conservativeResize(atoms_.rows() + 1, Eigen::NoChange);
      atoms_.bottomRows(1) = law.atoms.row(n);
      offsets_.push_back(std::log(law.weights[n]) - 0.5 * law.atoms.row(n).squaredNorm());
    }
    scores_.resize(offsets_.size());
  }

  Real operator()(const Real* x) {
    Real top = broadcast(-std::numeric_limits<double>::infinity());
    for (std::size_t n = 0; n < scores_.size(); ++n) {
      scores_[n] = broadcast(offsets_[n]);
      for (int f = 0; f < F_; ++f) scores_[n] += atoms_(static_cast<Eigen::Index>(n), f) * x[f];
      top = lane_max(top, scores_[n]);
    }
    Real sum{};
    for (const Real& score : scores_) sum += exp_nonpositive(score - top);
    return top + lane_log(sum);
  }

 private:
  int F_;
  Matrix atoms_;
  std::vector<double> offsets_;
  AlignedVector<Real> scores_;
};

/// N(mu, Lambda Lambda'): mu . x + offset + |root (x - mu)|^2 / 2 with root = C^-1 Lambda', C C' =
/// I + Lambda' Lambda.
template <>
class LogEvidence<GaussianLaw> {
 public:
  using Real = Lanes<double>;

  explicit LogEvidence(const GaussianLaw& law) : F_(law.features()), mean_(law.centre) {
    const Eigen::MatrixXd inverse =
        Eigen::MatrixXd::Identity(F_, F_) + law.factor.transpose() * law.factor;
    const Eigen::LLT<Eigen::MatrixXd> cholesky(inverse);
    root_ = cholesky.matrixL().solve(Eigen::MatrixXd(law.factor.transpose()));
    const double log_det = 2 * Eigen::MatrixXd(cholesky.matrixL()).diagonal().array().log().sum();
    offset_ = -0.5 * mean_.squaredNorm() - 0.5 * log_det;
  }

  Real operator()(const Real* x) const {
    Real value = broadcast(offset_);
    for (int f = 0; f < F_; ++f) value += mean_[f] * x[f];
    for (Eigen::Index row = 0; row < root_.rows(); ++row) {
      Real y{};
      for (int f = 0; f < F_; ++f) y += root_(row, f) * (x[f] - mean_[f]);
      value += 0.5 * y * y;
    }
    return value;
  }

 private:
  int F_;
  Vector mean_;
  Matrix root_;
  double offset_ = 0;
};

/// The log evidence of a prior.
class Posterior {
 public:
  using Real = Lanes<double>;

  explicit Posterior(const Prior& prior)
      : evidence_(
            std::visit([]<class Law>(const Law& law) { return Evidence(LogEvidence<Law>(law)); },
                       prior.law())) {}

  Real log_evidence(const Real* x) {
    return std::visit([&](auto& evidence) { return evidence(x); }, evidence_);
  }

 private:
  template <class... Laws>
  static std::variant<LogEvidence<Laws>...> each(const std::variant<Laws...>&);
  using Evidence = decltype(each(std::declval<Prior::Law>()));
  Evidence evidence_;
};

}  // namespace headflow
