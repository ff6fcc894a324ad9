#include "sections/resumed_series.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "headflow/core/error.hpp"
#include "headflow/flow/output_times.hpp"
#include "input/toml_text.hpp"

namespace headflow {
namespace {

/// Whether a key that asks for outputs, but for the end, is not what it was. On rank 0.
bool asks_for_others(Run& run, const std::string& section) {
  const auto before = values_of(run.from()->file->text("provenance/input"));
  const auto now = values_of(run.input().resolved());
  constexpr const char* keys[] = {"outputs", "spacing", "output_times"};
  return std::ranges::any_of(keys, [&](const char* key) {
    const std::string name = section + "." + key;
    const auto old_value = before.find(name), value = now.find(name);
    const bool was_given = old_value != before.end(), is_given = value != now.end();
    return was_given != is_given || (is_given && old_value->second != value->second);
  });
}

}  // namespace

Reached reached_in(const Snapshot& from) {
  if (from.empty()) return {};
  return {from.number("t"), std::llround(from.number("steps"))};
}

std::string at_last_output(double output, double reached) {
  return same_time(output, reached) ? "" : fmt::format("at the last output, t = {:g}:\n", output);
}

std::string outputs_made_again(double output, double reached) {
  if (!(output > reached) || same_time(output, reached)) return "";
  return fmt::format("the step under way, with outputs until t = {:g}, is made again\n", output);
}

void require_later(const char* section, double end, double reached) {
  if (end < reached)
    throw InputError(
        fmt::format("{}.end_time = {} is before the checkpoint, at t = {:g}: take a later one, or "
                    "another --output for a run that ends there",
                    section, end, reached));
}

void resume_series(Run& run, DataGroup& group, const std::vector<double>& own_times,
                   const std::vector<double>& all_times, double reached) {
  std::int64_t missing = 0;
  run.comm().on_root([&] {
    run.from()->read_series(group, reached);
    const bool by_sgd = asks_for_others(run, "sgd");
    if (!by_sgd && !asks_for_others(run, group.name)) return;
    const auto& known = group.dimensions[0].values;
    missing = std::ranges::count_if(by_sgd ? all_times : own_times, [&](double t) {
      return t <= reached && find_time(known, t) == known.end();
    });
  });
  if (missing > 0)
    run.warn(fmt::format(
        "[{}] goes on from t = {:g}: its outputs up to there stay as they are, without {} that the "
        "input asks for now",
        group.name, reached, with_noun(missing, "new output")));
  run.host().write();
}

}  // namespace headflow
