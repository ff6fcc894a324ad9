#include "headflow/flow/output_times.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "headflow/core/error.hpp"
#include "headflow/core/keys.hpp"

namespace headflow {

void OutputTimes::declare_keys(KeyVisitor& visitor, const char* help) {
  visitor.key({.name = "outputs", .help = help, .change = Change::allowed}, outputs,
              {.least = 1, .most = 1000000});
  visitor.choice<Spacing>(
      {.name = "spacing",
       .help = "spacing of the output times; log: they begin at end_time / 10^4",
       .change = Change::allowed},
      spacing, {{"linear", Spacing::linear}, {"log", Spacing::log}});
  visitor.key({.name = "output_times",
               .help = "explicit output times, increasing; they replace outputs and spacing",
               .change = Change::allowed},
              times, at_least_zero);
}

std::vector<double> OutputTimes::until(const char* key, double end) const {
  const auto count = static_cast<int>(outputs);
  auto found = times                        ? *times
               : spacing == Spacing::linear ? linear_times(end, count)
                                            : logarithmic_times(end, count);
  if (found.empty()) throw InputError(fmt::format("{} must not be empty", key));
  require_times(key, found, end);
  return found;
}

std::vector<double>::const_iterator find_time(const std::vector<double>& times, double t) {
  const auto found = std::ranges::lower_bound(times, t * (1 - 4e-12));
  return found != times.end() && same_time(*found, t) ? found : times.end();
}

void require_times(const char* key, const std::vector<double>& times, double end) {
  for (std::size_t i = 0; i < times.size(); ++i)
    if (times[i] > end || (i > 0 && times[i] <= times[i - 1]))
      throw InputError(fmt::format("{} must increase and stay within end_time = {}, found {}", key,
                                   end, times[i]));
}

std::vector<double> linear_times(double end, int count) {
  std::vector<double> times;
  const bool huge = !std::isfinite(end * count);
  for (int i = 0; i <= count; ++i)
    times.push_back(i == count ? end : huge ? end / count * i : end * i / count);
  return times;
}

std::vector<double> logarithmic_times(double end, int count) {
  std::vector<double> times = {0};
  for (int i = 1; i <= count; ++i)
    times.push_back(i == count ? end
                               : end * std::pow(10.0, 4.0 * (i - 1) / std::max(1, count - 1) - 4));
  return times;
}

}  // namespace headflow
