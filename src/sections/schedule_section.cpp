#include "sections/schedule_section.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "headflow/core/error.hpp"
#include "sections/configuration.hpp"
#include "sections/flow_section.hpp"
#include "sections/fluctuations_section.hpp"
#include "sections/sgd_section.hpp"

namespace headflow {
namespace {

using Law = Schedule::Law;

const std::vector<std::pair<const char*, Law>> laws = {{"constant", Law::constant},
                                                       {"steps", Law::steps},
                                                       {"power", Law::power},
                                                       {"cosine", Law::cosine}};

const char* name_of(Law law) {
  return std::find_if(laws.begin(), laws.end(), [&](const auto& one) { return one.second == law; })
      ->first;
}

}  // namespace

void ScheduleSection::declare_keys(KeyVisitor& visitor) {
  visitor.choice<Law>({"law",
                       "factor of the learning rate against s, the time since the warm-up: "
                       "constant: 1; steps: the values of factors; power: (1 + s / "
                       "scale)^-exponent; cosine: floor + (1 - floor) (1 + cos(pi s / "
                       "length)) / 2, then floor"},
                      schedule.law, laws);
  visitor.key({"times", "law steps: the s from which each factor holds"}, times_, positive);
  visitor.key(
      {"factors", "law steps: one factor for each of times; before the first time the factor is 1"},
      factors_, positive);
  visitor.key({"scale", "law power: the time scale"}, scale_, positive);
  visitor.key({"exponent", "law power: the exponent; default 1"}, exponent_, at_least_zero);
  visitor.key({"length", "law cosine: the s at which the floor is reached"}, length_, positive);
  visitor.key({"floor", "law cosine: the last factor; default 0.01"}, floor_,
              {.least = 0, .most = 1, .open_below = true});
  visitor.key(
      {"warm_up",
       "length in t of a warm-up, which comes first and over which the factor grows linearly"},
      schedule.warm_up, at_least_zero);
  visitor.key({"warm_up_from", "factor at the beginning of the warm-up; default 0.1"},
              warm_up_from_, {.least = 0, .most = 1, .open_below = true});
}

void ScheduleSection::prepare(Configuration& input) {
  if (!given) return;
  if (!input.section<SgdSection>().given && !input.section<FlowSection>().given &&
      !input.section<FluctuationsSection>().given)
    throw InputError("[schedule] has no effect without [sgd], [flow] or [fluctuations]");
  require_keys_of_law();
  if (warm_up_from_ && schedule.warm_up == 0)
    throw InputError("schedule.warm_up_from has no meaning without schedule.warm_up; remove it");
  schedule.warm_up_from = warm_up_from_.value_or(schedule.warm_up_from);
  switch (schedule.law) {
    case Law::steps:
      require_steps();
      break;
    case Law::power:
      if (!scale_) throw InputError("schedule.scale is missing (law = \"power\")");
      schedule.scale = *scale_;
      schedule.exponent = exponent_.value_or(schedule.exponent);
      break;
    case Law::cosine:
      if (!length_) throw InputError("schedule.length is missing (law = \"cosine\")");
      schedule.length = *length_;
      schedule.floor = floor_.value_or(schedule.floor);
      break;
    case Law::constant:
      break;
  }
}

/// Throws where a key of another law is given.
void ScheduleSection::require_keys_of_law() const {
  const std::tuple<const char*, bool, Law> keys[] = {
      {"times", times_.has_value(), Law::steps},    {"factors", factors_.has_value(), Law::steps},
      {"scale", scale_.has_value(), Law::power},    {"exponent", exponent_.has_value(), Law::power},
      {"length", length_.has_value(), Law::cosine}, {"floor", floor_.has_value(), Law::cosine}};
  for (const auto& [key, present, law] : keys)
    if (present && law != schedule.law)
      throw InputError(fmt::format(
          "schedule.{} has no meaning for law = \"{}\"; it belongs to \"{}\"; remove it", key,
          name_of(schedule.law), name_of(law)));
}

void ScheduleSection::require_steps() {
  if (!times_ || !factors_)
    throw InputError(
        fmt::format("schedule.{} is missing (law = \"steps\")", times_ ? "factors" : "times"));
  schedule.times = *times_;
  schedule.factors = *factors_;
  if (schedule.times.size() != schedule.factors.size() || schedule.times.empty())
    throw InputError(
        fmt::format("schedule.factors must have as many numbers as schedule.times, one "
                    "at least; found {} and {}",
                    schedule.factors.size(), schedule.times.size()));
  const auto bad = std::adjacent_find(schedule.times.begin(), schedule.times.end(),
                                      [](double a, double b) { return b <= a; });
  if (bad != schedule.times.end())
    throw InputError(
        fmt::format("schedule.times must increase, found {} after {}", *(bad + 1), *bad));
}

}  // namespace headflow
