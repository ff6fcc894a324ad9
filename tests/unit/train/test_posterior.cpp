// The posterior of the features, theory.md section 6: log E_theta exp(theta . x - |theta|^2 / 2).
#include <gtest/gtest.h>

#include <Eigen/LU>
#include <numbers>
#include <numeric>

#include "headflow/core/error.hpp"
#include "headflow/train/bayes_risk.hpp"
#include "trained_support.hpp"

namespace headflow {
namespace {

using namespace testing_support;

/// log sum_i exp(terms_i).
long double log_sum_exp(const std::vector<long double>& terms) {
  const long double top = *std::max_element(terms.begin(), terms.end());
  long double sum = 0;
  for (const long double term : terms) sum += std::exp(term - top);
  return top + std::log(sum);
}

/// Tokens without order, of sizes from 1 to 10^4.
Matrix tokens_of_all_sizes(int features) {
  Matrix x(40, features);
  for (Eigen::Index i = 0; i < x.size(); ++i)
    x.data()[i] = std::pow(10, i / features % 5) * std::sin(2.1 * static_cast<double>(i) + 0.4);
  return x;
}

void expect_evidence(const Prior& prior, auto&& expected) {
  const Matrix x = tokens_of_all_sizes(prior.features());
  const Vector found = log_evidence(prior, x);
  for (Eigen::Index i = 0; i < x.rows(); ++i) {
    const auto value = static_cast<double>(expected(Vector(x.row(i).transpose())));
    ASSERT_TRUE(std::isfinite(found[i]));
    // the terms of the sum are of the order of |x|^2
    EXPECT_NEAR(found[i], value, 4e-14 * (1 + x.row(i).squaredNorm())) << x.row(i);
  }
}

TEST(Posterior, evidenceOfAtomsIsTheirSum) {
  for (const Prior& prior :
       {flipping_spike(2, 0.5), canonical_spikes(5, 10), opposite_directions(3), unequal_atoms()})
    expect_evidence(prior, [&](const Vector& x) {
      const auto& law = std::get<MixtureLaw>(prior.law());
      std::vector<long double> terms;
      for (Eigen::Index n = 0; n < law.weights.size(); ++n) {
        if (law.weights[n] == 0) continue;
        long double term = std::log(static_cast<long double>(law.weights[n]));
        for (Eigen::Index f = 0; f < x.size(); ++f) {
          const long double theta = law.centres(n, f);
          term += theta * x[f] - theta * theta / 2;
        }
        terms.push_back(term);
      }
      return log_sum_exp(terms);
    });
}

/// The integral over xi ~ N(0, I_k) of theta = mean + factor xi, k = 1 or 2, by the trapezoidal
/// rule about the integrand's maximum: exact to rounding for a Gaussian this smooth.
long double integrated_evidence(const Vector& mean, const Matrix& factor, const Vector& x) {
  const Eigen::Index k = factor.cols();
  const Eigen::MatrixXd curvature = Eigen::MatrixXd::Identity(k, k) + factor.transpose() * factor;
  const Vector centre = curvature.inverse() * (factor.transpose() * (x - mean));
  constexpr double step = 0.15;
  constexpr int half = 65;
  std::vector<long double> terms;
  for (int i = -half; i <= half; ++i)
    for (int j = k == 2 ? -half : 0; j <= (k == 2 ? half : 0); ++j) {
      Eigen::Matrix<long double, Eigen::Dynamic, 1> xi = centre.cast<long double>();
      xi[0] += step * i;
      if (k == 2) xi[1] += step * j;
      const Eigen::Matrix<long double, Eigen::Dynamic, 1> theta =
          mean.cast<long double>() + factor.cast<long double>() * xi;
      terms.push_back(theta.dot(x.cast<long double>()) - theta.squaredNorm() / 2 -
                      xi.squaredNorm() / 2);
    }
  const long double cell = std::log(step / std::sqrt(2 * std::numbers::pi_v<long double>));
  return log_sum_exp(terms) + static_cast<long double>(k) * cell;
}

TEST(Posterior, evidenceOfAGaussianIsItsIntegral) {
  const auto check = [](const Vector& mean, const Matrix& factor) {
    expect_evidence(gaussian_prior(mean, factor * factor.transpose()),
                    [&](const Vector& x) { return integrated_evidence(mean, factor, x); });
  };
  check(Vector{{0}}, Matrix{{1.3}});
  check(Vector{{-0.7}}, Matrix{{0.6}});
  check(Vector{{0, 0}}, Matrix{{1.2, 0}, {0, 0.5}});
  check(Vector{{0.8, -0.4}}, Matrix{{1.1, 0}, {-0.6, 0.7}});
  check(Vector{{0.8, -0.4}}, Matrix{{1.1}, {-0.6}});  // a singular covariance
  check(Vector{{0, 1.5}}, Matrix{{0}, {0.9}});
}

TEST(Posterior, evidenceOfAMixtureIsTheSumOfItsComponents) {
  const Matrix means{{0.8, -0.4}, {-2, 1}, {0, 0}};
  const std::vector<Matrix> factors = {Matrix{{1.1, 0}, {-0.6, 0.7}}, Matrix{{0}, {0}},
                                       Matrix{{1.5}, {-0.6}}};
  const Vector weights{{0.5, 0.2, 0.3}};
  std::vector<Matrix> covariances;
  for (const Matrix& factor : factors) covariances.emplace_back(factor * factor.transpose());
  expect_evidence(mixture_prior(means, covariances, weights), [&](const Vector& x) {
    std::vector<long double> terms;
    for (Eigen::Index n = 0; n < 3; ++n)
      terms.push_back(std::log(static_cast<long double>(weights[n])) +
                      integrated_evidence(means.row(n), factors[static_cast<std::size_t>(n)], x));
    return log_sum_exp(terms);
  });
}

/// log of the mean of exp(s y - s^2 / 2) over s in [-a, a], by Simpson's rule from the end that is
/// nearest to its maximum, on steps that resolve it.
long double integrated_uniform(long double a, long double y) {
  y = std::abs(y);
  const long double slope = std::max(y - a, 0.0L);
  const long double tail = 120 / (slope + std::sqrt(slope * slope + 120));  // down to exp(-60)
  const long double length = std::min(2 * a, std::max(a - y, 0.0L) + tail);
  constexpr int steps = 20000;
  std::vector<long double> terms;
  for (int i = 0; i <= steps; ++i) {
    const long double s = a - length * i / steps;
    const long double weight = i == 0 || i == steps ? 1 : i % 2 == 1 ? 4 : 2;
    terms.push_back(s * y - s * s / 2 + std::log(weight));
  }
  return log_sum_exp(terms) + std::log(length / steps / 3 / (2 * a));
}

TEST(Posterior, evidenceOfAProductIsTheSumOfItsIntegrals) {
  const auto gaussian = [](double a, double y) {
    return integrated_evidence(Vector{{0}}, Matrix{{a}}, Vector{{y}});
  };
  const auto of = [&](const FeatureLaw& law, double a, double y) -> long double {
    switch (law.kind) {
      case FeatureLaw::Kind::signs:
        return log_sum_exp({static_cast<long double>(a) * y, -static_cast<long double>(a) * y}) -
               a * a / 2 - std::log(2.0L);
      case FeatureLaw::Kind::uniform:
        return integrated_uniform(std::sqrt(3.0L) * a, y);
      case FeatureLaw::Kind::sparse:
        return log_sum_exp(
            {std::log(1.0L - law.density), std::log(static_cast<long double>(law.density)) +
                                               gaussian(a / std::sqrt(law.density), y)});
      default:
        return gaussian(a, y);
    }
  };
  const std::vector<FeatureLaw> laws = {{FeatureLaw::Kind::signs, 1},
                                        {FeatureLaw::Kind::gaussian, 1},
                                        {FeatureLaw::Kind::uniform, 1},
                                        {FeatureLaw::Kind::uniform, 1},
                                        {FeatureLaw::Kind::sparse, 0.2}};
  const Vector nu{{1.5, 2, 0.01, 9, 3}}, mean{{0.3, -1, 0, 0.7, 0.1}};
  expect_evidence(product_prior(laws, nu, mean), [&](const Vector& x) {
    long double sum = 0;
    for (Eigen::Index f = 0; f < x.size(); ++f)
      sum += mean[f] * x[f] - mean[f] * mean[f] / 2 +
             of(laws[static_cast<std::size_t>(f)], std::sqrt(nu[f]), x[f] - mean[f]);
    return sum;
  });
}

TEST(Posterior, ofAProductNeedsIndependentFeatures) {
  const Prior product = product_prior(std::vector(2, FeatureLaw{}), Vector{{1, 2}}, Vector{{0, 0}});
  EXPECT_NO_THROW(Posterior(product.transformed(Matrix{{2, 0}, {0, 3}})));
  EXPECT_THROW(Posterior(product.transformed(Matrix{{1, 0.1}, {0, 1}})), InputError);
}

}  // namespace
}  // namespace headflow
