#include "sections/comparison.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

namespace headflow {
namespace {

const std::vector<double>& data_of(const DataGroup& group, const std::string& name) {
  return std::find_if(group.variables.begin(), group.variables.end(),
                      [&](const Variable& v) { return v.name == name; })
      ->data;
}

/// Pairs of indices of the same time, t = 0 left out.
std::vector<std::pair<std::size_t, std::size_t>> common_times(const std::vector<double>& flow,
                                                              const std::vector<double>& sgd) {
  std::vector<std::pair<std::size_t, std::size_t>> common;
  for (std::size_t i = 0; i < sgd.size(); ++i) {
    const auto found = std::lower_bound(flow.begin(), flow.end(), sgd[i]);
    if (sgd[i] > 0 && found != flow.end() && *found == sgd[i])
      common.emplace_back(found - flow.begin(), i);
  }
  return common;
}

}  // namespace

std::string compare_with_flow(const DataGroup& flow, const DataGroup& sgd) {
  const auto& times = sgd.dimensions[0].values;
  const auto common = common_times(flow.dimensions[0].values, times);
  const std::size_t replicas = sgd.dimensions[1].values.size();
  if (common.empty()) return "";
  std::string text =
      fmt::format("largest deviation of SGD from the flow at {} common times\n", common.size());
  for (const std::string name : {"loss", "m", "q"}) {
    const auto& line = data_of(flow, name);
    const auto& mean = data_of(sgd, name + "_mean");
    const auto& deviation = data_of(sgd, name + "_std");
    const std::size_t entries = mean.size() / times.size();
    double largest = 0;
    double when = 0;
    double variance = 0;
    for (const auto& [i, j] : common)
      for (std::size_t k = 0; k < entries; ++k) {
        const double size = std::abs(mean[j * entries + k] - line[i * entries + k]);
        variance += deviation[j * entries + k] * deviation[j * entries + k];
        if (size < largest) continue;
        largest = size;
        when = times[j];
      }
    text += fmt::format("  {:<5} {:.4f} at t = {:.4g}", name, largest, when);
    if (replicas > 1) {
      const double spread = std::sqrt(variance / static_cast<double>(common.size() * entries));
      text += fmt::format(", {:.1f} times the spread {:.2g} of {} replicas", largest / spread,
                          spread, replicas);
    }
    text += "\n";
  }
  return text;
}

}  // namespace headflow
