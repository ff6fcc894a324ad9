#include "sections/configuration.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "headflow/core/error.hpp"
#include "sections/configured_sgd.hpp"
#include "sections/configured_start.hpp"
#include "sections/named_priors.hpp"

namespace headflow {
namespace {

namespace fs = std::filesystem;

Sampling sampling_of(const PopulationKeys& keys) {
  if (keys.samples % keys.replicates != 0)
    throw InputError(
        fmt::format("population.samples = {} must be a multiple of population.replicates = {}",
                    keys.samples, keys.replicates));
  return {.samples = keys.samples,
          .method = keys.sampling == "sobol" ? SamplingMethod::sobol : SamplingMethod::monte_carlo,
          .replicates = static_cast<int>(keys.replicates),
          .seed = static_cast<std::uint64_t>(keys.seed),
          .symmetric = keys.symmetric,
          .precision = keys.precision == "single" ? Precision::single : Precision::double_,
          .memory_gib = keys.memory};
}

/// The same with other numbers, not closed under symmetries.
Sampling test_sampling_of(PopulationKeys keys) {
  if (*keys.test_samples % keys.replicates != 0)
    throw InputError(
        fmt::format("population.test_samples = {} must be a multiple of population.replicates = {}",
                    *keys.test_samples, keys.replicates));
  keys.samples = *keys.test_samples;
  keys.symmetric = false;
  Sampling sampling = sampling_of(keys);
  sampling.seed = ~sampling.seed;
  return sampling;
}

/// kappa of [flow].
double kappa_of(const FlowKeys& keys, const std::optional<SgdConfiguration>& sgd) {
  if (const auto* kappa = std::get_if<double>(&keys.learning_rate_noise)) return *kappa;
  if (!sgd) throw InputError("flow.learning_rate_noise = \"from-sgd\" needs a section [sgd]");
  return sgd->problem.kappa();
}

FlowOptions flow_of(const FlowKeys& keys, std::int64_t resample,
                    const std::optional<SgdConfiguration>& sgd) {
  if (resample > 0 && keys.method != "euler")
    throw InputError(
        fmt::format("population.resample = {} needs flow.method = \"euler\", found \"{}\" (an "
                    "adaptive step cannot tell fresh samples from an error)",
                    resample, keys.method));
  const double end = *keys.end_time;
  FlowOptions flow{
      .end_time = end,
      .stepper = {.method = keys.method, .tolerance = keys.tolerance, .step = keys.step},
      .output_times = output_times_of("flow.output_times", keys, end),
      .split_threshold = keys.split_threshold,
      .stop_gradient_norm = keys.stop_gradient_norm,
      .resample = resample,
      .kappa = kappa_of(keys, sgd)};
  if (!sgd) return flow;
  // Also where SGD has its outputs, so that the two can be compared; times that differ by rounding
  // alone are one.
  for (const std::int64_t step : sgd->options.output_steps) {
    const double t = sgd->problem.time(step);
    if (t > end) break;
    std::erase_if(flow.output_times,
                  [&](double own) { return std::abs(own - t) <= 1e-12 * (t + own); });
    flow.output_times.push_back(t);
  }
  std::sort(flow.output_times.begin(), flow.output_times.end());
  return flow;
}

std::optional<TrainConfiguration> train_of(const Communicator& comm, const InputKeys& keys,
                                           const Configuration& configuration) {
  if (!keys.train.given) return std::nullopt;
  TrainConfiguration train{.from_flow = keys.train.from == "flow",
                           .starts = {configuration.start.parameters},
                           .options = {.gradient_tolerance = keys.train.gradient_tolerance,
                                       .most_evaluations = keys.train.evaluations}};
  if (train.from_flow && !keys.flow.given)
    throw InputError("train.from = \"flow\" needs a section [flow]");
  if (!train.from_flow && keys.train.starts > 1)
    train.starts = random_starts(comm, keys, configuration.shape, configuration.prior,
                                 keys.train.starts, "train.starts > 1");
  return train;
}

std::optional<SaddleConfiguration> saddle_of(const InputKeys& keys,
                                             const Configuration& configuration) {
  constexpr std::size_t most = 1000;  // numbers, whose Hessian of every replicate is kept
  if (!keys.saddle.given) return std::nullopt;
  if (configuration.shape.heads < 2)
    throw InputError("[saddle] is about heads that split: it needs attention.heads >= 2, found 1");
  const std::size_t trained = configuration.start.parameters.trained_size(configuration.activation);
  if (trained > most)
    throw InputError(fmt::format(
        "[saddle] has a Hessian in m, u, b and v, at most {} numbers; heads = {} and features = {} "
        "make {}",
        most, configuration.shape.heads, configuration.shape.features, trained));
  if (configuration.flow && configuration.flow->kappa > 0)
    throw InputError(
        fmt::format("[saddle] is of the gradient flow, where there is a Hessian: it needs "
                    "flow.learning_rate_noise = 0, found {}",
                    configuration.flow->kappa));
  if (configuration.flow && configuration.flow->resample > 0)
    throw InputError(
        fmt::format("[saddle] is of the loss on the flow's own samples: it needs "
                    "population.resample = 0, found {}",
                    configuration.flow->resample));
  return SaddleConfiguration{.options = {.end_time = *keys.saddle.end_time,
                                         .gradient_tolerance = keys.saddle.gradient_tolerance},
                             .dimensions = *keys.saddle.dimensions,
                             .eta = keys.start.eta};
}

/// Gives what may be left out its value, from other keys where it depends on them; throws where two
/// do not go together. Returns the number of SGD's steps.
std::int64_t complete(InputKeys& keys, const InputRequest& request, const Shape& shape) {
  if (!request.output.empty()) keys.output.file = request.output;
  if (!keys.output.file) keys.output.file = fs::path(request.input).stem().string() + ".h5";
  if (keys.sgd.given) resolve_engine(keys.sgd, shape);
  if (!keys.start.dimension && !keys.start.m && !keys.start.file && !keys.start.noise &&
      !keys.start.bayes) {
    if (keys.sgd.given)
      keys.start.dimension = static_cast<double>(keys.sgd.dimension);
    else
      keys.start.noise = 0.01;
  }
  if (keys.sgd.given && keys.start.dimension &&
      *keys.start.dimension != static_cast<double>(keys.sgd.dimension))
    throw InputError(fmt::format("start.dimension = {} but sgd.dimension = {}; leave out the first",
                                 *keys.start.dimension, keys.sgd.dimension));
  keys.flow.given = keys.flow.given ||
                    !(keys.sgd.given || keys.saddle.given || keys.train.given || keys.bayes.given);
  if (!keys.flow.given && !keys.train.given && (keys.prune.given || keys.maps.given))
    throw InputError(fmt::format("[{}] needs heads: a section [train] or [flow]",
                                 keys.prune.given ? "prune" : "maps"));
  if (!keys.population.test_samples) keys.population.test_samples = 4 * keys.population.samples;
  if (!keys.saddle.dimensions) keys.saddle.dimensions = {1e2, 1e4, 1e6, 1e8, 1e10, 1e12};
  const std::int64_t sgd_steps = resolve_end_times(keys.flow, keys.sgd);
  if (!keys.saddle.end_time) keys.saddle.end_time = keys.flow.end_time.value_or(200);
  return sgd_steps;
}

/// The sections that may be left out.
void add_sections(const Communicator& comm, const InputKeys& keys, std::int64_t sgd_steps,
                  Configuration& configuration) {
  const Shape& shape = configuration.shape;
  const Prior& prior = configuration.prior;
  configuration.sgd = sgd_of(keys.sgd, sgd_steps, shape, configuration.activation,
                             configuration.prior, keys.start.seed);
  if (configuration.sgd && keys.sgd.starts == "own")
    configuration.sgd->options.first =
        random_starts(comm, keys, shape, prior, keys.sgd.replicas, "sgd.starts = \"own\"");
  configuration.train = train_of(comm, keys, configuration);
  if (keys.bayes.given && keys.population.replicates < 2)
    throw InputError("[bayes] needs population.replicates >= 2 for its standard error, found 1");
  if (keys.bayes.given) configuration.bayes = {keys.bayes.standard_error, keys.bayes.samples};
  if (keys.maps.given)
    configuration.maps = {keys.maps.sequences, static_cast<std::uint64_t>(keys.maps.seed)};
  if (keys.flow.given)
    configuration.flow = flow_of(keys.flow, keys.population.resample, configuration.sgd);
  configuration.saddle = saddle_of(keys, configuration);
}

/// A sample block must fit in the budget, or nothing can be computed.
void require_memory(const Configuration& configuration) {
  const double block = static_cast<double>(block_size) * configuration.shape.tokens *
                       configuration.shape.coordinates() *
                       (configuration.sampling.precision == Precision::single ? 4 : 8) / 0x1p30;
  if (configuration.sampling.memory_gib < block)
    throw InputError(fmt::format(
        "population.memory = {} GiB is too little: one block of {} samples needs {:.3g} GiB",
        configuration.sampling.memory_gib, block_size, block));
}

}  // namespace

std::string Configuration::weights_file(std::int64_t step) const {
  const fs::path path(output);
  return (path.parent_path() / path.stem()).string() + fmt::format(".weights-{}.h5", step);
}

std::vector<std::string> Configuration::files() const {
  std::vector<std::string> files = {output};
  if (sgd)
    for (const std::int64_t step : sgd->options.weight_steps) files.push_back(weights_file(step));
  return files;
}

std::string read_text(const Communicator& comm, const std::string& path) {
  std::string text;
  comm.on_root([&] {
    if (!fs::exists(path)) throw InputError("input file " + path + " does not exist");
    std::ifstream file(path);
    std::ostringstream content;
    content << file.rdbuf();
    if (!file || fs::is_directory(path)) throw InputError("input file " + path + " cannot be read");
    text = content.str();
  });
  return comm.broadcast(text);
}

Configuration read_configuration(const Communicator& comm, const InputRequest& request) {
  return configuration_of(comm, request, read_text(comm, request.input));
}

Configuration configuration_of(const Communicator& comm, const InputRequest& request,
                               const std::string& text, bool member) {
  InputKeys keys = read_keys(text, request.input, request.overrides);
  const int features = features_of(keys.model);
  keys.model.features = features;
  const Shape shape{static_cast<int>(keys.model.tokens), static_cast<int>(keys.attention.heads),
                    features};
  const std::int64_t sgd_steps = complete(keys, request, shape);
  const Prior prior = prior_of(keys.model, features);
  EarlierRun earlier = start_of(comm, keys.start, shape, prior);
  Configuration configuration{.shape = shape,
                              .activation = activation_named(keys.attention.activation),
                              .prior = prior,
                              .start = std::move(earlier.start),
                              .restarted_from = std::move(earlier.run_id),
                              .sampling = sampling_of(keys.population),
                              .test_sampling = test_sampling_of(keys.population),
                              .flow = {},
                              .sgd = {},
                              .saddle = {},
                              .train = {},
                              .bayes = {},
                              .prune = keys.prune.given,
                              .maps = {},
                              .split_threshold = keys.flow.split_threshold,
                              .output = *keys.output.file,
                              .output_every = keys.output.every,
                              .checkpoint_every = keys.output.checkpoint_every,
                              .checkpoints_kept = static_cast<int>(keys.output.checkpoints_kept),
                              .sweep = {},
                              .resolved = to_toml(keys)};
  if (!member) configuration.sweep = read_sweep(text, request.input, request.overrides);
  if (configuration.sweep.size() > 0) {
    configuration.resolved += "[sweep]\n" + configuration.sweep.text;
    if (configuration.sweep.ranks_per_member > 0)
      configuration.resolved +=
          fmt::format("ranks_per_member = {}\n", configuration.sweep.ranks_per_member);
    if (keys.sgd.save_weights || keys.sgd.weights_times)
      throw InputError("a sweep writes no weights: leave out save_weights and weights_times");
  }
  add_sections(comm, keys, sgd_steps, configuration);
  require_memory(configuration);
  PopulationLoss::cost(shape, configuration.signal(), configuration.sampling, comm.size());
  SampleGenerator(shape, configuration.prior, configuration.sampling);
  return configuration;
}

void require_writable_output(const Communicator& comm, const std::string& path,
                             const std::string& input, bool force) {
  comm.on_root([&] {
    if (path.empty()) throw InputError("output.file must not be empty");
    const fs::path folder =
        fs::path(path).parent_path().empty() ? "." : fs::path(path).parent_path();
    if (!fs::is_directory(folder))
      throw InputError(
          fmt::format("output {}: the folder {} does not exist", path, folder.string()));
    if (::access(folder.c_str(), W_OK) != 0)
      throw InputError(
          fmt::format("output {}: the folder {} is not writable", path, folder.string()));
    if (fs::is_directory(path)) throw InputError(fmt::format("output {} is a folder", path));
    if (fs::exists(path) && !fs::is_regular_file(path))
      throw InputError(fmt::format("output {} is no regular file", path));
    if (fs::exists(path) && fs::equivalent(path, input))
      throw InputError(fmt::format("output {} is the input file", path));
    if (fs::exists(path) && !force)
      throw InputError(fmt::format(
          "output {} exists; use --force to replace it or --output for another name", path));
  });
}

}  // namespace headflow
