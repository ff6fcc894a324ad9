#include "sections/configured_sgd.hpp"

#include <algorithm>
#include <cmath>

namespace headflow {
namespace {

/// Whole steps nearest to the times, each once.
std::vector<std::int64_t> steps_of(const std::vector<double>& times, double learning_rate,
                                   std::int64_t most) {
  std::vector<std::int64_t> steps;
  for (const double t : times) {
    const auto step = std::min<std::int64_t>(most, std::llround(t / learning_rate));
    if (steps.empty() || step > steps.back()) steps.push_back(step);
  }
  return steps;
}

}  // namespace

void require_times(const char* key, const std::vector<double>& times, double end) {
  for (std::size_t i = 0; i < times.size(); ++i)
    if (times[i] > end || (i > 0 && times[i] <= times[i - 1]))
      throw InputError(fmt::format("{} must increase and stay within end_time = {}, found {}", key,
                                   end, times[i]));
}

std::int64_t resolve_end_times(FlowKeys& flow, SgdKeys& sgd) {
  if (!sgd.given) {
    flow.end_time = flow.end_time.value_or(200);
    return 0;
  }
  if (sgd.end_time && sgd.steps)
    throw InputError(fmt::format("[sgd] must have one of end_time and steps, found {} and {}",
                                 *sgd.end_time, *sgd.steps));
  if (!sgd.end_time && !sgd.steps) sgd.end_time = flow.end_time;
  if (!sgd.end_time && !sgd.steps)
    throw InputError("sgd.end_time is missing (t at which SGD ends; or sgd.steps)");
  const double exact =
      sgd.steps ? static_cast<double>(*sgd.steps) : *sgd.end_time / sgd.learning_rate;
  const double steps = std::round(exact);
  const double end = sgd.learning_rate * steps;
  if (!(steps >= 1 && steps <= 9e15 && std::isfinite(end)))
    throw InputError(fmt::format(
        "{} is {:.3g} steps of sgd.learning_rate = {}; there must be 1 to 9e15, to a finite time",
        sgd.steps ? fmt::format("sgd.steps = {}", *sgd.steps)
                  : fmt::format("sgd.end_time = {}", *sgd.end_time),
        exact, sgd.learning_rate));
  // The flow ends no sooner than SGD does when only whole steps separate them.
  if (!flow.end_time || std::abs(*flow.end_time - end) <= 0.5 * sgd.learning_rate)
    flow.end_time = std::max(end, flow.end_time.value_or(end));
  return static_cast<std::int64_t>(steps);
}

void resolve_engine(SgdKeys& keys, const Shape& shape) {
  const bool weights = keys.save_weights || keys.weights_times;
  const int least = shape.coordinates() + shape.tokens;
  const int least_of_overlaps = least + shape.heads;
  if (keys.engine == "auto")
    keys.engine = weights || keys.reduction == "fast" || keys.dimension < least_of_overlaps
                      ? "direct"
                      : "overlaps";
  const bool direct = keys.engine == "direct";
  if (!direct && weights)
    throw InputError(
        "sgd.engine = \"overlaps\" has no weights to write; save_weights and weights_times need "
        "engine = \"direct\"");
  if (!direct && keys.reduction == "fast")
    throw InputError("sgd.reduction = \"fast\" needs engine = \"direct\"");
  if (direct && keys.dimension > 1000000000)
    throw InputError(fmt::format(
        "sgd.dimension must be at most 1e9 for engine = \"direct\", found {}", keys.dimension));
  if (!direct && keys.dimension < least_of_overlaps)
    throw InputError(
        fmt::format("sgd.dimension must be at least features + 2 heads + tokens = {} for engine = "
                    "\"overlaps\", found {} (engine = \"direct\" needs {})",
                    least_of_overlaps, keys.dimension, least));
  if (keys.dimension < least)
    throw InputError(
        fmt::format("sgd.dimension must be at least features + heads + tokens = {}, found {}",
                    least, keys.dimension));
}

std::optional<SgdConfiguration> sgd_of(const SgdKeys& keys, std::int64_t steps, const Shape& shape,
                                       const Activation& activation, const Prior& prior,
                                       std::int64_t start_seed) {
  if (!keys.given) return std::nullopt;
  SgdConfiguration sgd{
      .problem = {.shape = shape,
                  .activation = activation,
                  .prior = prior,
                  .engine = keys.engine == "direct" ? Engine::direct : Engine::overlaps,
                  .dimension = keys.dimension,
                  .batch = keys.batch,
                  .learning_rate = keys.learning_rate,
                  .reduction = keys.reduction == "exact" ? Reduction::exact : Reduction::fast,
                  .seed = static_cast<std::uint64_t>(keys.seed)},
      .options = {.replicas = keys.replicas, .start_seed = static_cast<std::uint64_t>(start_seed)}};
  auto& options = sgd.options;
  const double end = std::max(keys.end_time.value_or(0), sgd.problem.time(steps));
  options.output_steps =
      steps_of(output_times_of("sgd.output_times", keys, end), keys.learning_rate, steps);
  const std::vector<double> weights_times = keys.weights_times.value_or(std::vector<double>{});
  require_times("sgd.weights_times", weights_times, end);
  options.weight_steps = steps_of(weights_times, keys.learning_rate, steps);
  if (keys.save_weights) options.weight_steps.push_back(steps);
  auto& outputs = options.output_steps;
  outputs.push_back(steps);
  outputs.insert(outputs.end(), options.weight_steps.begin(), options.weight_steps.end());
  for (auto* list : {&outputs, &options.weight_steps}) {
    std::sort(list->begin(), list->end());
    list->erase(std::unique(list->begin(), list->end()), list->end());
  }
  return sgd;
}

}  // namespace headflow
