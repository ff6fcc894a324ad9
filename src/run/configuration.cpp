#include "headflow/run/configuration.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <span>
#include <sstream>

#include "headflow/core/data_file.hpp"
#include "headflow/core/error.hpp"
#include "headflow/run/named_priors.hpp"

namespace headflow {
namespace {

namespace fs = std::filesystem;

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

Vector to_vector(const std::vector<double>& values) {
  return Eigen::Map<const Vector>(values.data(), static_cast<Eigen::Index>(values.size()));
}

/// Throws unless `matrix` (or list) has the shape that the model needs.
void require_shape(const char* key, Eigen::Index rows, Eigen::Index columns, const Matrix& matrix) {
  if (matrix.rows() != rows || matrix.cols() != columns)
    throw InputError(fmt::format("{} must be {} x {}, found {} x {}", key, rows, columns,
                                 matrix.rows(), matrix.cols()));
}

Start explicit_start_of(const StartKeys& keys, const Shape& shape) {
  const int H = shape.heads;
  require_shape("start.m", H, shape.features, *keys.m);
  const Matrix r = keys.r.value_or(Matrix::Zero(H, H));
  require_shape("start.r", H, H, r);
  if ((r - r.transpose()).cwiseAbs().maxCoeff() > 1e-12 * (1 + r.cwiseAbs().maxCoeff()))
    throw InputError("start.r must be symmetric");
  const Vector b = keys.b ? to_vector(*keys.b) : Vector::Zero(H);
  if (b.size() != H)
    throw InputError(fmt::format("start.b must have {} numbers, found {}", H, b.size()));
  return explicit_start(*keys.m, r, b, keys.v.value_or(1));
}

/// The last state of `flow` in another output, and that run's id.
struct EarlierRun {
  Start start;
  std::string run_id;
};

EarlierRun start_from_file(const Communicator& comm, const std::string& path, const Shape& shape) {
  const int H = shape.heads;
  const int F = shape.features;
  Matrix m(H, F), u(H, H), gram(F, F);
  Vector b_v(H + 1);
  std::string run_id;
  comm.on_root([&] {
    try {
      const DataReader file(path);
      const Numbers all = file.numbers("flow/m");
      if (all.shape.size() != 3 || all.shape[0] < 1 ||
          all.shape[1] != static_cast<std::size_t>(H) ||
          all.shape[2] != static_cast<std::size_t>(F))
        throw InputError(
            fmt::format("its flow/m has the shape {0} (time x heads x features), but heads x "
                        "features is {1} x {2}: "
                        "heads = {1}, features = {2}",
                        fmt::join(all.shape, " x "), H, F));
      const auto last = [&](const char* name, std::span<double> out) {
        const Numbers numbers = file.numbers(std::string("flow/") + name);
        if (numbers.data.size() < out.size())
          throw InputError(fmt::format("its flow/{} is too short", name));
        std::copy(numbers.data.end() - static_cast<std::ptrdiff_t>(out.size()), numbers.data.end(),
                  out.begin());
      };
      last("m", std::span(m.data(), static_cast<std::size_t>(m.size())));
      last("u", std::span(u.data(), static_cast<std::size_t>(u.size())));
      last("b", std::span(b_v.data(), static_cast<std::size_t>(H)));
      last("v", std::span(b_v.data() + H, 1));
      last("spike_gram", std::span(gram.data(), static_cast<std::size_t>(gram.size())));
      run_id = file.text("provenance/run_id");
    } catch (const Error& error) {
      throw InputError(fmt::format("start.file {}: {}", path, error.what()));
    }
  });
  for (Matrix* part : {&m, &u, &gram})
    comm.broadcast(std::span(part->data(), static_cast<std::size_t>(part->size())));
  comm.broadcast(std::span(b_v.data(), static_cast<std::size_t>(b_v.size())));
  return {start_from_state(m, u, gram, b_v.head(H), b_v[H]), comm.broadcast(run_id)};
}

EarlierRun start_of(const Communicator& comm, const StartKeys& keys, const Shape& shape) {
  std::vector<std::string> given;
  if (keys.dimension) given.push_back("dimension");
  if (keys.noise) given.push_back("noise");
  if (keys.m) given.push_back("m");
  if (keys.file) given.push_back("file");
  if (given.size() > 1)
    throw InputError(fmt::format("[start] must have one of dimension, noise, m, file; found {}",
                                 fmt::join(given, " and ")));
  if (!keys.m && (keys.r || keys.b || keys.v))
    throw InputError("start.r, start.b and start.v go with start.m");
  const auto seed = static_cast<std::uint64_t>(keys.seed);
  if (keys.dimension) {
    if (*keys.dimension != std::floor(*keys.dimension))
      throw InputError(
          fmt::format("start.dimension must be a whole number, found {}", *keys.dimension));
    return {random_start(shape, *keys.dimension, keys.eta, keys.spikes == "orthonormal", seed), ""};
  }
  if (keys.m) return {explicit_start_of(keys, shape), ""};
  if (keys.file) return start_from_file(comm, *keys.file, shape);
  return {noisy_start(shape, keys.noise.value_or(0.01), keys.eta, seed), ""};
}

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

FlowOptions flow_of(const FlowKeys& keys, std::int64_t resample) {
  if (resample > 0 && keys.method != "euler")
    throw InputError(
        fmt::format("population.resample = {} needs flow.method = \"euler\", found \"{}\" (an "
                    "adaptive step cannot tell fresh samples from an error)",
                    resample, keys.method));
  FlowOptions flow{
      .end_time = keys.end_time,
      .stepper = {.method = keys.method, .tolerance = keys.tolerance, .step = keys.step},
      .output_times = {},
      .split_threshold = keys.split_threshold,
      .stop_gradient_norm = keys.stop_gradient_norm,
      .resample = resample};
  const auto count = static_cast<int>(keys.outputs);
  flow.output_times = keys.output_times          ? *keys.output_times
                      : keys.spacing == "linear" ? linear_times(keys.end_time, count)
                                                 : logarithmic_times(keys.end_time, count);
  if (flow.output_times.empty()) throw InputError("flow.output_times must not be empty");
  for (std::size_t i = 0; i < flow.output_times.size(); ++i)
    if (flow.output_times[i] > keys.end_time ||
        (i > 0 && flow.output_times[i] <= flow.output_times[i - 1]))
      throw InputError(
          fmt::format("flow.output_times must increase and stay within end_time = {}, found {}",
                      keys.end_time, flow.output_times[i]));
  return flow;
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

Configuration read_configuration(const Communicator& comm, const InputRequest& request) {
  const std::string text = read_text(comm, request.input);
  InputKeys keys = read_keys(text, request.input, request.overrides);
  const int features = features_of(keys.model);
  keys.model.features = features;
  const Shape shape{static_cast<int>(keys.model.tokens), static_cast<int>(keys.attention.heads),
                    features};
  if (!request.output.empty()) keys.output.file = request.output;
  if (!keys.output.file) keys.output.file = fs::path(request.input).stem().string() + ".h5";
  if (!keys.start.dimension && !keys.start.m && !keys.start.file && !keys.start.noise)
    keys.start.noise = 0.01;
  EarlierRun earlier = start_of(comm, keys.start, shape);
  Configuration configuration{.shape = shape,
                              .activation = activation_named(keys.attention.activation),
                              .prior = prior_of(keys.model, features),
                              .start = std::move(earlier.start),
                              .restarted_from = std::move(earlier.run_id),
                              .sampling = sampling_of(keys.population),
                              .flow = flow_of(keys.flow, keys.population.resample),
                              .output = *keys.output.file,
                              .output_every = keys.output.every,
                              .resolved = to_toml(keys)};
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
