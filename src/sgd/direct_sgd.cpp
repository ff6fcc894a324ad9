#include "sgd/direct_sgd.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "core/normal.hpp"
#include "core/random.hpp"
#include "headflow/core/error.hpp"
#include "headflow/core/local_range.hpp"
#include "headflow/core/statistics.hpp"

namespace headflow {

Matrix random_frame(int count, std::int64_t dimension, std::uint64_t seed) {
  Matrix frame(count, dimension);
  for (int row = 0; row < count; ++row) {
    const RandomStream stream(seed, Purpose::frame, static_cast<std::uint32_t>(row));
    for (std::int64_t d = 0; d < dimension; ++d) {
      const auto words = stream.bits(static_cast<std::uint64_t>(d), 0);
      frame(row, d) = to_unit_interval(static_cast<std::uint64_t>(words[0]) << 32 | words[1]);
    }
  }
  normal_quantile({frame.data(), static_cast<std::size_t>(frame.size())});
  // Gram-Schmidt, twice for full precision.
  for (int row = 0; row < count; ++row) {
    for (int pass = 0; pass < 2; ++pass)
      for (int other = 0; other < row; ++other)
        frame.row(row) -= frame.row(row).dot(frame.row(other)) * frame.row(other);
    frame.row(row).normalize();
  }
  return frame;
}

DirectSgd::DirectSgd(const Communicator& comm, const SgdProblem& problem, const Parameters& start,
                     std::uint64_t start_seed)
    : comm_(comm),
      problem_(problem),
      first_(start),
      kernel_(problem.model.shape, problem.dimension),
      sequence_(problem.model.shape, problem.model.activation),
      sums_(static_cast<std::size_t>(problem.model.shape.heads) + 2),
      uniforms_(static_cast<std::size_t>(problem.model.prior.draw_dimension())),
      theta_(static_cast<std::size_t>(problem.model.shape.features)) {
  const Shape& shape = problem.model.shape;
  if (problem.dimension < shape.coordinates() + shape.tokens)
    throw InputError(
        fmt::format("sgd.dimension must be at least features + heads + tokens = {}, "
                    "found {}",
                    shape.coordinates() + shape.tokens, problem.dimension));
  frame_ = random_frame(shape.coordinates(), problem.dimension, start_seed);
  spikes_ = problem.model.spike_factor * frame_.topRows(shape.features);
  weight_limit_ = problem.weight_limit(first_);
  copy_to_single(spikes_, kernel_.spikes_layout(), spikes_single_);
  const auto size = static_cast<std::size_t>(kernel_.heads_layout().size());
  if (problem.reduction == Reduction::exact)
    exact_.resize(size);
  else
    fast_.resize(size);
}

void DirectSgd::copy_to_single(const Matrix& rows, const TileLayout& layout,
                               AlignedVector<float>& out) const {
  out.resize(static_cast<std::size_t>(layout.size()));
  for (int row = 0; row < layout.rows; ++row)
    for (std::int64_t d = 0; d < layout.dimension; ++d)
      out[static_cast<std::size_t>(layout.index(row, d))] = static_cast<float>(rows(row, d));
}

SgdReplica DirectSgd::replica(std::uint32_t number, const Parameters& first) const {
  SgdReplica replica{
      .number = number, .k = {}, .b = first.b, .v = first.v, .k_single = {}, .batch_loss = never};
  set_weights(replica, first.K * frame_, 0);
  return replica;
}

void DirectSgd::set_weights(SgdReplica& replica, Matrix k, std::int64_t steps) const {
  replica.k = std::move(k);
  replica.steps = steps;
  copy_to_single(replica.k, kernel_.heads_layout(), replica.k_single);
}

void DirectSgd::project(std::uint32_t replica, std::int64_t step, std::int64_t sequence,
                        const AlignedVector<float>& heads) {
  const auto address = static_cast<std::uint64_t>(step);
  RandomSequence draw(RandomStream(problem_.seed, Purpose::theta, replica, address),
                      static_cast<std::uint64_t>(sequence));
  for (double& u : uniforms_) u = draw.uniform();
  normals_ = uniforms_;
  normal_quantile(normals_);
  problem_.model.prior.draw(uniforms_, normals_, theta_);
  kernel_.project(FloatNormals(RandomStream(problem_.seed, Purpose::tokens, replica, address)),
                  static_cast<std::uint32_t>(sequence), theta_, spikes_single_.data(), heads.data(),
                  sequence_.fields, sequence_.gram);
}

template <class Sum>
void DirectSgd::step_with(SgdReplica& replica, AlignedVector<Sum>& gradient, double per_unit,
                          StepQuestions& questions) {
  const auto H = static_cast<std::size_t>(problem_.model.shape.heads);
  sums_.clear();
  std::fill(gradient.begin(), gradient.end(), Sum(0));
  const IndexRange range = local_range(comm_.rank(), problem_.batch, comm_.size());
  for (std::int64_t sequence = range.begin; sequence < range.end; ++sequence) {
    project(replica.number, replica.steps, sequence, replica.k_single);
    sequence_(replica.b, replica.v);
    const float largest = kernel_.add_gradient(sequence_.g(), per_unit, gradient.data());
    sums_.add(0, largest < TokenKernel::term_limit ? sequence_.e
                                                   : std::numeric_limits<double>::infinity());
    for (std::size_t h = 0; h < H; ++h) sums_.add(1 + h, sequence_.b[static_cast<Eigen::Index>(h)]);
    sums_.add(1 + H, sequence_.v);
    questions.worked(1);
  }
  questions.end_step();
  const double state[] = {static_cast<double>(replica.steps), replica.v, replica.b.sum(),
                          static_cast<double>(replica.k_single[0])};
  sums_.reduce(comm_, fingerprint(state));
  if (sums_.poisoned())
    throw NumericalError("the gradient of a sequence is not finite or beyond 1024");
  if (comm_.size() > 1) comm_.sum(std::span(gradient));

  const double scale = problem_.rate(replica.steps) / static_cast<double>(problem_.batch);
  const double kept = problem_.kept(replica.steps);
  const Training& training = problem_.model.training;
  const TileLayout layout = kernel_.heads_layout();
  Vector norms(problem_.model.shape.heads);
  for (int h = 0; h < problem_.model.shape.heads; ++h) {
    for (std::int64_t t = 0; t < layout.tiles() && training.k; ++t) {
      const auto first = static_cast<std::size_t>(layout.offset(h, t));
      double* k = &replica.k(h, t * TileLayout::tile);
      const std::int64_t count =
          std::min(TileLayout::tile, problem_.dimension - t * TileLayout::tile);
      for (std::int64_t d = 0; d < count; ++d) {
        const std::size_t i = first + static_cast<std::size_t>(d);
        k[d] = kept * k[d] - scale / per_unit * static_cast<double>(gradient[i]);
        replica.k_single[i] = static_cast<float>(k[d]);
      }
    }
    norms[h] = replica.k.row(h).norm();
    if (training.b > 0)
      replica.b[h] -= training.b * scale * sums_.value(1 + static_cast<std::size_t>(h));
  }
  if (training.v > 0) replica.v -= training.v * scale * sums_.value(1 + H);
  replica.batch_loss = sums_.value(0) / static_cast<double>(problem_.batch);
  ++replica.steps;
  if (!(norms.maxCoeff() <= weight_limit_))
    throw NumericalError(
        fmt::format("|k| = {:.3g} is beyond {:.3g}", norms.maxCoeff(), weight_limit_));
}

void DirectSgd::step(SgdReplica& replica, StepQuestions& questions) {
  if (problem_.reduction == Reduction::exact)
    step_with(replica, exact_, TokenKernel::units_for(problem_.batch), questions);
  else
    step_with(replica, fast_, 1, questions);
}

Parameters DirectSgd::parameters(const SgdReplica& replica) const {
  Parameters parameters{Matrix(problem_.model.shape.heads, problem_.model.shape.coordinates()),
                        replica.b, replica.v};
  const auto basis = frame_.topRows(problem_.model.shape.features);
  const Matrix inside = replica.k * basis.transpose();
  const Matrix outside = replica.k - inside * basis;
  parameters.K << inside, symmetric_root(outside * outside.transpose());
  return parameters;
}

Matrix DirectSgd::tokens(std::uint32_t replica, std::int64_t step, std::int64_t sequence) {
  project(replica, step, sequence,
          AlignedVector<float>(static_cast<std::size_t>(kernel_.heads_layout().size())));
  Matrix X(problem_.model.shape.tokens, problem_.dimension);
  for (int l = 0; l < problem_.model.shape.tokens; ++l)
    for (std::int64_t d = 0; d < problem_.dimension; ++d) X(l, d) = kernel_.token(l, d);
  return X;
}

SgdMessages DirectSgd::messages(const SgdProblem& problem, std::int64_t replicas) {
  const int H = problem.model.shape.heads;
  const double sums = problem.reduction == Reduction::exact ? 8 : 4;
  const double bytes = ExactSums::message_bytes(static_cast<std::size_t>(H) + 2) +
                       sums * static_cast<double>(TileLayout{problem.dimension, H}.size());
  const auto R = static_cast<double>(replicas);
  return {.calls = 2 * R, .bytes = bytes * R};
}

double DirectSgd::memory_gib(const SgdProblem& problem, std::int64_t replicas) {
  const Shape& shape = problem.model.shape;
  const double sums = problem.reduction == Reduction::exact ? 8 : 4;
  const double per_coordinate =
      static_cast<double>(shape.heads) * (12.0 * static_cast<double>(replicas) + 8 + sums) +
      20.0 * shape.features + 4.0 * shape.tokens +
      8.0 * (shape.coordinates() + shape.heads);  // the frame at the start, or overlaps at outputs
  return per_coordinate * static_cast<double>(problem.dimension) / 0x1p30;
}

}  // namespace headflow
