#include "headflow/saddle/prediction.hpp"

#include <cmath>
#include <limits>

#include "headflow/core/statistics.hpp"

namespace headflow {

std::vector<double> Prediction::packed() const {
  std::vector<double> all = rate;
  all.insert(all.end(), split_time.begin(), split_time.end());
  return all;
}

Prediction predict(const LinearGrowth& growth, const Matrix& heads, int features,
                   double threshold) {
  Prediction prediction;
  std::vector<double> high;
  for (int f = 0; f < features; ++f) {
    const auto time = [&](double level) { return growth.time_of(heads, f, level); };
    const double low = time(0.01 * threshold);
    high.push_back(time(0.1 * threshold));
    prediction.rate.push_back(low > 0 ? std::log(10.0) / (high.back() - low) : never);
    prediction.split_time.push_back(time(threshold));
  }
  double first = std::numeric_limits<double>::infinity();
  for (const double t : prediction.split_time) first = t < first ? t : first;
  for (std::size_t f = 0; f < high.size(); ++f) {
    if (high[f] > first) prediction.rate[f] = never;
    if (prediction.split_time[f] > first) prediction.split_time[f] = never;
  }
  return prediction;
}

std::vector<double> times_against_dimension(const LinearGrowth& growth, const Shape& shape,
                                            int head_coordinates,
                                            const std::vector<double>& dimensions, double eta,
                                            double threshold) {
  const auto& [L, H, F] = shape;
  const double count = H;
  std::vector<double> times;
  for (const double D : dimensions) {
    const double spread = eta * std::sqrt((count - 1) / (count * D));
    for (int f = 0; f < F; ++f) {
      Matrix heads = Matrix::Zero(H, head_coordinates);
      heads(0, f) = spread * count / std::sqrt(count - 1);
      times.push_back(growth.time_of(heads, f, threshold));
    }
  }
  return times;
}

}  // namespace headflow
