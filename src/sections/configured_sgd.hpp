#pragma once
#include <fmt/format.h>

#include <optional>
#include <vector>

#include "headflow/core/error.hpp"
#include "sections/configuration.hpp"

namespace headflow {

/// Throws unless `times` increase and stay within [0, end].
void require_times(const char* key, const std::vector<double>& times, double end);

/// The output times of [flow] or [sgd].
template <class Keys>
std::vector<double> output_times_of(const char* key, const Keys& keys, double end) {
  const auto count = static_cast<int>(keys.outputs);
  auto times = keys.output_times          ? *keys.output_times
               : keys.spacing == "linear" ? linear_times(end, count)
                                          : logarithmic_times(end, count);
  if (times.empty()) throw InputError(fmt::format("{} must not be empty", key));
  require_times(key, times, end);
  return times;
}

/// Completes the end times: of SGD from [flow] where it has none of its own, of the flow from SGD.
/// Returns the number of SGD's steps. The keys stay such that the resolved input says the same.
std::int64_t resolve_end_times(FlowKeys& flow, SgdKeys& sgd);

/// Chooses the engine; throws when what is asked for does not go with it.
void resolve_engine(SgdKeys& keys, const Shape& shape);

/// [sgd] of so many steps, if it is given.
std::optional<SgdConfiguration> sgd_of(const SgdKeys& keys, std::int64_t steps, const Shape& shape,
                                       const Activation& activation, const Prior& prior,
                                       std::int64_t start_seed);

}  // namespace headflow
