#include "sections/configured_start.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "core/data_file.hpp"
#include "headflow/core/error.hpp"
#include "headflow/train/bayes_risk.hpp"

namespace headflow {
namespace {

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

}  // namespace

EarlierRun start_of(const Communicator& comm, const StartKeys& keys, const Shape& shape,
                    const Prior& prior) {
  std::vector<std::string> given;
  if (keys.dimension) given.push_back("dimension");
  if (keys.noise) given.push_back("noise");
  if (keys.m) given.push_back("m");
  if (keys.file) given.push_back("file");
  if (keys.bayes) given.push_back("bayes");
  if (given.size() > 1)
    throw InputError(
        fmt::format("[start] must have one of dimension, noise, m, file, bayes; found {}",
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
  if (keys.bayes)
    return {{bayes_parameters(shape, prior), Matrix::Identity(shape.features, shape.features)}, ""};
  return {noisy_start(shape, keys.noise.value_or(0.01), keys.eta, seed), ""};
}

std::vector<Parameters> random_starts(const Communicator& comm, const InputKeys& keys,
                                      const Shape& shape, const Prior& prior, std::int64_t count,
                                      const char* who) {
  if (keys.start.m || keys.start.file || keys.start.bayes)
    throw InputError(fmt::format("{} needs a random start: start.dimension or start.noise", who));
  if (keys.start.dimension && keys.start.spikes == "finite")
    throw InputError(fmt::format("{} needs start.spikes = \"orthonormal\"", who));
  std::vector<Parameters> starts;
  StartKeys start = keys.start;
  for (std::int64_t i = 0; i < count; ++i, ++start.seed)
    starts.push_back(start_of(comm, start, shape, prior).start.parameters);
  return starts;
}

}  // namespace headflow
