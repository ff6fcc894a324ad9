#include "sections/start_section.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "core/data_file.hpp"
#include "headflow/core/error.hpp"
#include "headflow/train/bayes_risk.hpp"
#include "sections/attention_section.hpp"
#include "sections/configuration.hpp"
#include "sections/model_section.hpp"
#include "sections/sgd_section.hpp"

namespace headflow {
namespace {

constexpr double default_noise = 0.01;

/// What a flow's variable has at that place, and must have that shape. In a sweep NaN fills it up
/// to the shape of the largest member.
void read_state(const DataReader& file, const std::vector<std::size_t>& place,
                const std::string& name, const std::vector<std::size_t>& shape,
                std::span<double> out) {
  const std::string path = "flow/" + name;
  const Numbers all = file.numbers(path);
  const std::size_t leading = all.shape.size() - std::min(shape.size(), all.shape.size());
  const std::vector<std::size_t> stored(all.shape.begin() + static_cast<std::ptrdiff_t>(leading),
                                        all.shape.end());
  std::size_t size = 1, first = 0;
  for (const std::size_t extent : stored) size *= extent;
  for (std::size_t i = 0; i < leading && leading == place.size(); ++i)
    first = first * all.shape[i] + place[i];
  const bool is_there =
      (leading == 0 || leading == place.size()) && (first + 1) * size <= all.data.size();
  std::vector<std::size_t> found(stored.size(), 0);  // without what is filled up
  std::vector<double> values;
  for (std::size_t i = 0; i < size && is_there; ++i) {
    const double x = all.data[first * size + i];
    if (std::isnan(x)) continue;
    values.push_back(x);
    for (std::size_t rest = i, axis = stored.size(); axis-- > 0; rest /= stored[axis])
      found[axis] = std::max(found[axis], rest % stored[axis] + 1);
  }
  if (found != shape || values.size() != out.size())
    throw InputError(fmt::format("its {} has the shape {}, but heads and features here make it {}",
                                 path, fmt::join(found, " x "), fmt::join(shape, " x ")));
  std::copy(values.begin(), values.end(), out.begin());
}

std::span<double> span_of(auto& matrix) {
  return {matrix.data(), static_cast<std::size_t>(matrix.size())};
}

/// Throws unless `matrix` has the shape that the model needs.
void require_shape(const char* key, Eigen::Index rows, Eigen::Index columns, const Matrix& matrix) {
  if (matrix.rows() != rows || matrix.cols() != columns)
    throw InputError(fmt::format("{} must be {} x {}, found {} x {}", key, rows, columns,
                                 matrix.rows(), matrix.cols()));
}

}  // namespace

void StartSection::declare_keys(KeyVisitor& visitor) {
  visitor.key({"dimension", "D: overlaps of random k_h, k*_f in R^D, drawn from their exact law"},
              dimension_, {.least = 2, .most = 1e15});
  visitor.choice<bool>(
      {"spikes", "with dimension: the Gram matrix of the spikes at finite D, or the identity"},
      orthonormal_, {{"finite", false}, {"orthonormal", true}});
  visitor.key({"noise", "size of the noise on m and u, r = u u' near eta^2"}, noise_,
              at_least_zero);
  visitor.key({"eta", "norm of the heads at the start (dimension, noise)"}, eta, at_least_zero);
  visitor.key({"m", "explicit start: H x F overlaps with the spikes"}, m_);
  visitor.key({"r", "explicit start: H x H, positive semi-definite; default 0"}, r_);
  visitor.key({"b", "with dimension, noise or m: the bias of all heads, or H of them; default 0"},
              b_, any_number);
  visitor.key({"v", "with dimension, noise or m: the scale; default 1"}, v_, any_number);
  visitor.key({"file", "another output file, whose last state is the start"}, file_);
  visitor.key(
      {"member",
       "member of the file, if it holds a sweep: its place along each axis, from 1, as [2, 1]"},
      member_, {.least = 1, .most = 1e7});
  visitor.key({"bayes",
               "start from the Bayes estimator of a discrete prior, in the heads of Bayes-softmax "
               "(Prop. IV.2)"},
              bayes_);
  visitor.key({.name = "seed", .help = "seed of the random start", .seed = Seed::starts}, seed,
              seeds);
}

void StartSection::prepare(Configuration& input) {
  complete(input);
  start_ = make(input, seed);
}

/// The default start is that of [sgd], or a little noise.
void StartSection::complete(Configuration& input) {
  auto& sgd = input.section<SgdSection>();
  if (sgd.given) sgd.resolve_engine(input.prepared<AttentionSection>().shape);
  if (!dimension_ && !m_ && !file_ && !noise_ && !bayes_) {
    if (sgd.given)
      dimension_ = static_cast<double>(sgd.dimension());
    else
      noise_ = default_noise;
  }
  if (sgd.given && dimension_ && *dimension_ != static_cast<double>(sgd.dimension()))
    throw InputError(fmt::format("start.dimension = {} but sgd.dimension = {}; leave out the first",
                                 *dimension_, sgd.dimension()));
  std::vector<std::string> kinds;
  for (const auto& [kind, chosen] :
       {std::pair{"dimension", dimension_.has_value()}, std::pair{"noise", noise_.has_value()},
        std::pair{"m", m_.has_value()}, std::pair{"file", file_.has_value()},
        std::pair{"bayes", bayes_}})
    if (chosen) kinds.emplace_back(kind);
  if (kinds.size() > 1)
    throw InputError(
        fmt::format("[start] must have one of dimension, noise, m, file, bayes; found {}",
                    fmt::join(kinds, " and ")));
  if (!file_ && member_) throw InputError("start.member goes with start.file");
  if (!m_ && r_) throw InputError("start.r goes with start.m");
  if ((file_ || bayes_) && (b_ || v_))
    throw InputError(fmt::format("start.b and start.v do not go with start.{}, which has them",
                                 file_ ? "file" : "bayes"));
}

Start StartSection::make(Configuration& input, std::int64_t with_seed) {
  const Shape& shape = input.prepared<AttentionSection>().shape;
  const auto number = static_cast<std::uint64_t>(with_seed);
  if (dimension_) {
    if (*dimension_ != std::floor(*dimension_))
      throw InputError(
          fmt::format("start.dimension must be a whole number, found {}", *dimension_));
    return with_offsets(random_start(shape, *dimension_, eta, orthonormal_, number), shape);
  }
  if (m_) return explicit_start(shape);
  if (file_) return start_from_file(input.comm(), shape);
  if (bayes_)
    return {bayes_parameters(shape, input.prepared<ModelSection>().prior()),
            Matrix::Identity(shape.features, shape.features)};
  return with_offsets(noisy_start(shape, *noise_, eta, number), shape);
}

/// With b and v as they are given.
Start StartSection::with_offsets(Start start, const Shape& shape) const {
  if (b_ && b_->size() != 1 && static_cast<int>(b_->size()) != shape.heads)
    throw InputError(
        fmt::format("start.b must have 1 or {} numbers, found {}", shape.heads, b_->size()));
  if (b_) {
    const Vector given = to_vector(*b_);
    start.parameters.b = b_->size() == 1 ? Vector::Constant(shape.heads, given[0]) : given;
  }
  start.parameters.v = v_.value_or(1);
  return start;
}

Start StartSection::explicit_start(const Shape& shape) const {
  const int H = shape.heads;
  require_shape("start.m", H, shape.features, *m_);
  const Matrix r = r_.value_or(Matrix::Zero(H, H));
  require_shape("start.r", H, H, r);
  if ((r - r.transpose()).cwiseAbs().maxCoeff() > 1e-12 * (1 + r.cwiseAbs().maxCoeff()))
    throw InputError("start.r must be symmetric");
  return with_offsets(headflow::explicit_start(*m_, r, Vector::Zero(H), 1), shape);
}

Start StartSection::start_from_file(const Communicator& comm, const Shape& shape) {
  const int H = shape.heads, F = shape.features;
  const auto h = static_cast<std::size_t>(H), f = static_cast<std::size_t>(F);
  Matrix m(H, F), u(H, H), gram(F, F);
  Vector b_v(H + 1);
  comm.on_root([&] {
    try {
      const DataReader file(*file_);
      const std::vector<std::size_t> place = place_in(file);
      read_state(file, place, "m", {h, f}, span_of(m));
      read_state(file, place, "u", {h, h}, span_of(u));
      read_state(file, place, "b", {h}, span_of(b_v).first(h));
      read_state(file, place, "v", {}, span_of(b_v).last(1));
      read_state(file, place, "spike_gram", {f, f}, span_of(gram));
      restarted_from = file.text("provenance/run_id");
    } catch (const Error& error) {
      throw InputError(fmt::format("start.file {}: {}", *file_, error.what()));
    }
  });
  for (Matrix* part : {&m, &u, &gram}) comm.broadcast(span_of(*part));
  comm.broadcast(span_of(b_v));
  restarted_from = comm.broadcast(restarted_from);
  return start_from_state(m, u, gram, b_v.head(H), b_v[H]);
}

/// Where the state stands in the variables of the file's flow: the last time, or a member of a
/// sweep.
std::vector<std::size_t> StartSection::place_in(const DataReader& file) const {
  if (!file.has("sweep/done")) {
    if (member_) throw InputError("it is of a single run, not of a sweep: leave out start.member");
    const auto extents = file.numbers("flow/m").shape;
    if (extents.empty() || extents[0] == 0) throw InputError("its flow has no state yet");
    return {extents[0] - 1};
  }
  const auto axes = file.axes("sweep/done");
  const Numbers done = file.numbers("sweep/done");
  const auto& shape = done.shape;
  std::vector<std::string> extents;
  for (std::size_t i = 0; i < shape.size(); ++i)
    extents.push_back(fmt::format("{} (1 to {})", axes[i], shape[i]));
  std::vector<std::size_t> place;
  std::size_t number = 0;
  const std::vector<double> given = member_.value_or(std::vector<double>{});
  for (std::size_t i = 0; i < shape.size() && given.size() == shape.size(); ++i) {
    if (given[i] != std::floor(given[i]) || given[i] > static_cast<double>(shape[i])) break;
    place.push_back(static_cast<std::size_t>(given[i]) - 1);
    number = number * shape[i] + place.back();
  }
  if (place.size() != shape.size())
    throw InputError(
        fmt::format("it is of a sweep: start.member must be a list of the member's "
                    "place along {}, {}",
                    fmt::join(extents, ", "),
                    member_ ? fmt::format("found [{}]", fmt::join(given, ", "))
                            : std::string("and is missing")));
  if (done.data[number] != 1)
    throw InputError(fmt::format("its member [{}] {}", fmt::join(given, ", "),
                                 done.data[number] == 0 ? "is not computed yet" : "has failed"));
  return place;
}

void StartSection::require_random(const char* who) const {
  if (m_ || file_ || bayes_)
    throw InputError(fmt::format("{} needs a random start: start.dimension or start.noise", who));
  if (dimension_ && !orthonormal_)
    throw InputError(fmt::format("{} needs start.spikes = \"orthonormal\"", who));
}

std::vector<Parameters> StartSection::random_starts(Configuration& input, std::int64_t count,
                                                    const char* who) const {
  require_random(who);
  StartSection copy = *this;
  std::vector<Parameters> starts;
  for (std::int64_t i = 0; i < count; ++i) starts.push_back(copy.make(input, seed + i).parameters);
  return starts;
}

StartSpread StartSection::spread(const Shape& shape, const char* who) const {
  require_random(who);
  StartSpread spread = dimension_ ? random_start_spread(shape, *dimension_, eta)
                                  : noisy_start_spread(shape, *noise_, eta);
  spread.mean = with_offsets({spread.mean, {}}, shape).parameters;
  return spread;
}

}  // namespace headflow
