#include "sections/resumed_series.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "headflow/core/error.hpp"

namespace headflow {

void require_later(const char* section, double end, double reached) {
  if (end < reached)
    throw InputError(
        fmt::format("{}.end_time = {} is before the checkpoint, at t = {:g}: take a later one, or "
                    "another --output for a run that ends there",
                    section, end, reached));
}

void resume_series(Run& run, DataGroup& group, const std::vector<double>& output_times,
                   double reached) {
  run.comm().on_root([&] { run.from()->read_series(group, reached); });
  const auto& known = group.dimensions[0].values;
  const auto missing = std::count_if(output_times.begin(), output_times.end(), [&](double t) {
    return t <= reached && !std::binary_search(known.begin(), known.end(), t);
  });
  if (missing > 0)
    run.warn(fmt::format(
        "the run goes on at t = {:g}: [{}] keeps its records, and new output times before that get "
        "none ({} of them)",
        reached, group.name, missing));
  run.host().write();
}

}  // namespace headflow
