#include "headflow/saddle/prediction.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "headflow/core/statistics.hpp"
#include "headflow/model/start.hpp"

namespace headflow {
namespace {

/// Of the flow from this start.
void predict_flow(const LinearGrowth& growth, const SplitQuestion& question, int features,
                  Prediction& prediction) {
  std::vector<double> high;
  for (int f = 0; f < features; ++f) {
    const auto time = [&](double level) { return growth.time_of(question.heads, f, level); };
    const double low = time(0.01 * question.threshold);
    high.push_back(time(0.1 * question.threshold));
    prediction.rate.push_back(low > 0 ? std::log(10.0) / (high.back() - low) : never);
    prediction.split_time.push_back(time(question.threshold));
  }
  double first = std::numeric_limits<double>::infinity();
  for (const double t : prediction.split_time) first = t < first ? t : first;
  for (std::size_t f = 0; f < high.size(); ++f) {
    if (high[f] > first) prediction.rate[f] = never;
    if (prediction.split_time[f] > first) prediction.split_time[f] = never;
  }
}

/// Of runs of SGD at one D.
void predict_runs(const LinearGrowth& growth, const SplitQuestion& question, int features,
                  double dimension, Prediction& prediction) {
  const HeadLaw start = law_at_dimension(question, dimension);
  for (int f = 0; f < features; ++f)
    prediction.time_at_dimension.push_back(growth.first_time([&](double t) {
      return growth.law(start, f, t).log_root_mean_square() >= std::log(question.threshold);
    }));
  std::vector<double> median;
  for (const double quantile : split_quantiles())
    for (int f = 0; f < features; ++f) {
      const double time = growth.first_time([&](double t) {
        return growth.law(start, f, t).probability_above(question.threshold) >= quantile;
      });
      prediction.quantiles.push_back(time);
      if (quantile == 0.5) median.push_back(time);
    }
  const Eigen::Index H = question.heads.rows();
  Matrix upper(H, features);
  for (int f = 0; f < features; ++f) {
    const double t = median[static_cast<std::size_t>(f)];
    if (std::isnan(t))
      upper.col(f).setConstant(never);
    else
      upper.col(f) = growth.law(start, f, t).probability_of_upper_side();
  }
  prediction.upper_side.insert(prediction.upper_side.end(), upper.data(),
                               upper.data() + upper.size());
}

}  // namespace

std::vector<double> Prediction::packed() const {
  std::vector<double> all;
  for (const auto* part : {&rate, &split_time, &time_at_dimension, &quantiles, &upper_side})
    all.insert(all.end(), part->begin(), part->end());
  return all;
}

void Prediction::unpack(std::span<const double> numbers) {
  for (auto* part : {&rate, &split_time, &time_at_dimension, &quantiles, &upper_side}) {
    std::copy_n(numbers.begin(), part->size(), part->begin());
    numbers = numbers.subspan(part->size());
  }
}

const std::vector<double>& split_quantiles() {
  static const std::vector<double> quantiles = {0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99};
  return quantiles;
}

Prediction predict(const LinearGrowth& growth, const SplitQuestion& question) {
  Prediction prediction;
  const int features = growth.features();
  predict_flow(growth, question, features, prediction);
  for (const double D : question.dimensions)
    predict_runs(growth, question, features, D, prediction);
  return prediction;
}

HeadLaw law_at_dimension(const SplitQuestion& question, double dimension) {
  HeadLaw law{question.heads, Vector::Zero(question.heads.cols()), 1 / dimension};
  if (question.shared) return law;
  const Eigen::Index H = question.heads.rows(), C = question.heads.cols();
  const Eigen::Index F = C - (question.biased ? 1 : 0) - (H > 2 ? 2 : 1);
  const Shape shape{1, static_cast<int>(H), static_cast<int>(F)};
  const StartSpread spread = random_start_spread(shape, dimension, question.eta);
  law.mean.setZero();
  law.variance.head(F).setConstant(spread.m);
  const Eigen::Index of_r = F + (question.biased ? 1 : 0);
  law.variance[of_r] = spread.r_same;
  if (H > 2) law.variance[of_r + 1] = spread.r_other / static_cast<double>(H - 2);
  return law;
}

}  // namespace headflow
