#pragma once
// The log evidence of each law, apart from law.hpp so that only kernels pay for compiling lanes.
#include <Eigen/Cholesky>
#include <boost/math/quadrature/gauss.hpp>
#include <cmath>
#include <limits>
#include <utility>
#include <variant>
#include <vector>

#include "core/lanes.hpp"
#include "headflow/core/error.hpp"
#include "headflow/model/prior.hpp"

namespace headflow {

/// log E_theta exp(theta . x - |theta|^2 / 2) for tokens x in R^F, by its closed form: the
/// unnormalised log posterior that a token is the relevant one (theory.md, section 6). Finite for
/// any finite x. Called with one token in each lane; x has F vectors.
template <class Law>
class LogEvidence;

/// log sum_n exp(score_n), score_n = c_n . x + offset_n + |root_n (x - c_n)|^2 / 2, of N(c_n,
/// Lambda_n Lambda_n'): root = C^-1 Lambda', C C' = I + Lambda' Lambda, without rows for an atom.
template <>
class LogEvidence<MixtureLaw> {
 public:
  using Real = Lanes<double>;

  explicit LogEvidence(const MixtureLaw& law) : F_(law.features()), centres_(0, F_) {
    for (Eigen::Index n = 0; n < law.centres.rows(); ++n) {
      if (law.weights[n] <= 0) continue;
      centres_.conservativeResize(centres_.rows() + 1, Eigen::NoChange);
      centres_.bottomRows(1) = law.centres.row(n);
      add(law.weights[n], law.factors[static_cast<std::size_t>(n)]);
    }
    scores_.resize(offsets_.size());
  }

  Real operator()(const Real* x) {
    Real top = broadcast(-std::numeric_limits<double>::infinity());
    for (std::size_t n = 0; n < scores_.size(); ++n) {
      scores_[n] = score(n, x);
      top = lane_max(top, scores_[n]);
    }
    if (scores_.size() == 1) return top;
    Real sum{};
    for (const Real& score : scores_) sum += exp_nonpositive(score - top);
    return top + lane_log(sum);
  }

 private:
  void add(double weight, const Matrix& factor) {
    const Eigen::Index k = factor.cols();
    const Eigen::MatrixXd inverse = Eigen::MatrixXd::Identity(k, k) + factor.transpose() * factor;
    const Eigen::LLT<Eigen::MatrixXd> cholesky(inverse);
    const Eigen::MatrixXd C = cholesky.matrixL();
    roots_.emplace_back(cholesky.matrixL().solve(Eigen::MatrixXd(factor.transpose())));
    offsets_.push_back(std::log(weight) - 0.5 * centres_.bottomRows(1).squaredNorm() -
                       C.diagonal().array().log().sum());
  }

  Real score(std::size_t n, const Real* x) const {
    const auto centre = centres_.row(static_cast<Eigen::Index>(n));
    const Matrix& root = roots_[n];
    Real value = broadcast(offsets_[n]);
    for (int f = 0; f < F_; ++f) value += centre[f] * x[f];
    for (Eigen::Index row = 0; row < root.rows(); ++row) {
      Real y{};
      for (int f = 0; f < F_; ++f) y += root(row, f) * (x[f] - centre[f]);
      value += 0.5 * y * y;
    }
    return value;
  }

  int F_;
  Matrix centres_;
  std::vector<Matrix> roots_;
  std::vector<double> offsets_;
  AlignedVector<Real> scores_;
};

/// The sum over features of log E_s exp(s y - s^2 / 2), s = a s_f, y = x_f - c_f, and of c_f x_f -
/// c_f^2 / 2. Throws InputError unless the features are independent.
template <>
class LogEvidence<ProductLaw> {
 public:
  using Real = Lanes<double>;

  explicit LogEvidence(const ProductLaw& law) : law_(law) {
    if (!law.independent())
      throw InputError(
          "the Bayes risk has no closed form for prior = \"product\" where spikes are not "
          "orthonormal; use start.spikes = \"orthonormal\"");
  }

  Real operator()(const Real* x) const {
    Real sum{};
    for (Eigen::Index f = 0; f < law_.centre.size(); ++f) {
      const double c = law_.centre[f], a = std::abs(law_.mixing(f, f));
      sum +=
          c * x[f] - 0.5 * c * c + of_feature(law_.laws[static_cast<std::size_t>(f)], a, x[f] - c);
    }
    return sum;
  }

 private:
  static Real of_feature(const FeatureLaw& law, double a, Real y) {
    switch (law.kind) {
      case FeatureLaw::Kind::signs:
        return a * lane_max(y, -y) - 0.5 * a * a +
               lane_log(0.5 + 0.5 * exp_nonpositive(-2 * a * lane_max(y, -y)));
      case FeatureLaw::Kind::uniform:
        return of_uniform(std::sqrt(3.0) * a, lane_max(y, -y));
      case FeatureLaw::Kind::sparse: {
        const Real drawn = of_gaussian(a * a / law.density, y) + std::log(law.density);
        const Real zero = broadcast(std::log1p(-law.density));
        const Real top = lane_max(drawn, zero);
        return top + lane_log(exp_nonpositive(drawn - top) + exp_nonpositive(zero - top));
      }
      case FeatureLaw::Kind::gaussian:
        break;
    }
    return of_gaussian(a * a, y);
  }

  /// Of N(0, variance).
  static Real of_gaussian(double variance, Real y) {
    return 0.5 * variance / (1 + variance) * y * y - 0.5 * std::log1p(variance);
  }

  /// Of a number between -a and a, for y >= 0: the mean of exp(s y - s^2 / 2), which is a Gaussian
  /// of width one about y, by Gauss-Legendre on where it is above exp(-40) times its largest value.
  static Real of_uniform(double a, Real y) {
    using Rule = boost::math::quadrature::gauss<double, 40>;
    if (a == 0) return Real{};
    const Real ends = broadcast(a);
    const Real best = -lane_max(-y, -ends), slope = y - best;
    const Real high = -lane_max(-ends, -(best + 9.0));
    const Real from = lane_max(-ends, best - 80.0 / (lane_sqrt(slope * slope + 80.0) + slope));
    const Real half = 0.5 * (high - from), middle = 0.5 * (high + from);
    const auto term = [&](Real s) {
      return exp_nonpositive((s - best) * (slope - 0.5 * (s - best)));
    };
    Real sum{};
    for (std::size_t i = 0; i < Rule::abscissa().size(); ++i) {
      const Real step = half * Rule::abscissa()[i];
      sum += Rule::weights()[i] * (term(middle - step) + term(middle + step));
    }
    return best * (y - 0.5 * best) + lane_log(0.5 / a * half * sum);
  }

  ProductLaw law_;
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
