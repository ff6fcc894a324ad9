#include "headflow/population/population_loss.hpp"

#include <cmath>
#include <new>

#include "core/exact_sum.hpp"
#include "headflow/core/error.hpp"
#include "headflow/core/statistics.hpp"
#include "population/kernel.hpp"
#include "population/sample_blocks.hpp"

namespace headflow {
namespace {

constexpr std::int64_t blocks_between = (1 << 18) / block_size;

}  // namespace

class PopulationLoss::Impl {
 public:
  Impl(const Communicator& comm, const Shape& shape, Activation activation, const Prior& prior,
       const Sampling& sampling, bool noise)
      : comm_(comm),
        shape_(shape),
        noise_(noise),
        result_size_(Kernel<double>::result_size(shape, noise)),
        activation_(activation),
        sampling_(sampling),
        range_(local_range(comm.rank(), all_blocks(), comm.size())),
        images_(sampling.symmetric ? closed_set(shape, prior)
                                   : std::vector{SampleSymmetry(shape, 0, 0)}) {
    const bool kept = cost(shape, prior, sampling, comm.size()).kept;
    bool failed = false;
    try {
      blocks_ = SampleBlocks::make(shape, activation, prior, sampling, range_, kept, noise);
    } catch (const std::bad_alloc&) {
      failed = true;
    }
    if (comm.max(failed ? 1 : 0) != 0)
      throw InputError(
          "not enough memory to keep the samples; lower population.memory (they are then "
          "regenerated with the same bits), or use more nodes");
  }

  /// Sums over samples and images, one set for each replicate or (`groups` = 1) one for all;
  /// collective.
  ExactSums sums(const Parameters& parameters, int groups,
                 const std::function<void()>& between = nullptr) {
    return tangent_sums({&parameters, 1}, {}, groups, result_size_, between);
  }

  /// The same, each replicate at a point of its own where there are several, and behind each set of
  /// `size` those of the tangents, one after the other.
  ExactSums tangent_sums(std::span<const Parameters> points,
                         const std::vector<Parameters>& directions, int groups, std::size_t size,
                         const std::function<void()>& between) {
    const std::size_t stride = size * (1 + directions.size());
    ExactSums total(stride * static_cast<std::size_t>(groups));
    std::vector<double> block_sums(size);
    const auto add = [&](const SampleSymmetry& g, std::size_t offset) {
      Eigen::Map<Matrix> G(&block_sums[1], shape_.heads, shape_.coordinates());
      G = g.pull_back(G);
      for (std::size_t i = 0; i < size; ++i) total.add(offset + i, block_sums[i]);
    };
    for_blocks(between, [&](std::int64_t block) {
      const auto replicate =
          static_cast<std::size_t>(block / SampleBlocks::blocks_per_replicate(sampling_));
      const Parameters& point = points[points.size() == 1 ? 0 : replicate];
      for (const SampleSymmetry& g : images_) {
        std::size_t offset = groups == 1 ? 0 : replicate * stride;
        const Parameters image = image_of(g, point);
        blocks_->evaluate(block, image, block_sums);
        add(g, offset);
        for (const Parameters& direction : directions) {
          blocks_->differentiate(block, image, image_of(g, direction), block_sums);
          add(g, offset += size);
        }
      }
    });
    std::uint64_t state = 0;
    for (const Parameters& point : points) state = 31 * state + state_fingerprint(point);
    total.reduce(comm_, state);
    if (total.poisoned()) throw NumericalError("the population loss or its gradient is not finite");
    return total;
  }

  /// The mean over the samples of `groups` sets of sums, the first of which starts at `offset`.
  LossGradient mean(const ExactSums& sums, std::size_t offset, std::size_t groups, double samples,
                    bool with_noise = false) const {
    const double scale = 1 / (samples * static_cast<double>(images_.size()));
    const Trained trained = trained_by(activation_);
    std::size_t next = offset;
    const auto value = [&] { return sums.value(next++, result_size_, groups) * scale; };
    LossGradient result{value(), Parameters::zero(shape_), {}};
    Parameters& gradient = result.gradient;
    for (Eigen::Index i = 0; i < gradient.K.size(); ++i) gradient.K.data()[i] = value();
    if (trained.b)
      for (double& b : gradient.b) b = value();
    if (trained.v) gradient.v = value();
    if (with_noise) {
      next = offset + Kernel<double>::result_size(shape_);
      result.noise.resize(shape_.heads, shape_.heads);
      for (int h = 0; h < shape_.heads; ++h)
        for (int g = 0; g <= h; ++g) result.noise(h, g) = result.noise(g, h) = value();
    }
    return result;
  }

  const Communicator& comm_;
  Shape shape_;
  bool noise_;
  std::size_t result_size_;
  Activation activation_;
  Sampling sampling_;
  IndexRange range_;
  std::vector<SampleSymmetry> images_;
  std::unique_ptr<SampleBlocks> blocks_;

 private:
  std::int64_t all_blocks() const {
    return SampleBlocks::blocks_per_replicate(sampling_) * sampling_.replicates;
  }

  static Parameters image_of(const SampleSymmetry& g, const Parameters& parameters) {
    return {g.apply(parameters.K), parameters.b, parameters.v};
  }

  /// Every block of this rank, with `between` in between as often as on any other.
  template <class Body>
  void for_blocks(const std::function<void()>& between, Body&& body) {
    const std::int64_t most = local_range(0, all_blocks(), comm_.size()).size();
    const std::int64_t pieces = between ? divided_up(most, blocks_between) : 1;
    std::int64_t piece = 0;
    for (std::int64_t block = range_.begin; block < range_.end; ++block) {
      for (; piece + 1 < pieces && block - range_.begin >= (piece + 1) * blocks_between; ++piece)
        between();
      body(block);
    }
    for (; piece + 1 < pieces; ++piece) between();
  }

  std::uint64_t state_fingerprint(const Parameters& parameters) const {
    std::vector<double> state(parameters.K.data(), parameters.K.data() + parameters.K.size());
    state.insert(state.end(), parameters.b.begin(), parameters.b.end());
    state.push_back(parameters.v);
    return fingerprint(state);
  }
};

PopulationLoss::PopulationLoss(const Communicator& comm, const Shape& shape, Activation activation,
                               const Prior& prior, const Sampling& sampling, bool noise)
    : impl_(std::make_unique<Impl>(comm, shape, activation, prior, sampling, noise)) {}

PopulationLoss::~PopulationLoss() = default;
PopulationLoss::PopulationLoss(PopulationLoss&&) noexcept = default;

const Shape& PopulationLoss::shape() const { return impl_->shape_; }
const Activation& PopulationLoss::activation() const { return impl_->activation_; }

LossGradient PopulationLoss::evaluate(const Parameters& parameters,
                                      const std::function<void()>& between) {
  return impl_->mean(impl_->sums(parameters, 1, between), 0, 1,
                     static_cast<double>(impl_->sampling_.samples), impl_->noise_);
}

LossStatistics PopulationLoss::statistics(const Parameters& parameters) {
  const int replicates = impl_->sampling_.replicates;
  const ExactSums sums = impl_->sums(parameters, replicates);
  const std::size_t size = impl_->result_size_;
  const auto per_replicate = static_cast<double>(impl_->sampling_.samples_per_replicate());

  std::vector<LossGradient> each;
  for (int r = 0; r < replicates; ++r)
    each.push_back(
        impl_->mean(sums, static_cast<std::size_t>(r) * size, 1, per_replicate, impl_->noise_));
  LossStatistics result{.mean = impl_->mean(sums, 0, static_cast<std::size_t>(replicates),
                                            per_replicate * replicates, impl_->noise_)};

  const Vector gradient = result.mean.gradient.packed(impl_->activation_);
  result.gradient_norm = gradient.norm();
  std::vector<double> losses, norms;  // the latter of the gradients projected on the mean one
  for (const LossGradient& replicate : each) {
    losses.push_back(replicate.loss);
    norms.push_back(result.gradient_norm == 0
                        ? 0
                        : replicate.gradient.packed(impl_->activation_).dot(gradient) /
                              result.gradient_norm);
  }
  result.loss_stderr = standard_error(losses);
  result.gradient_norm_stderr = standard_error(norms);
  return result;
}

State PopulationLoss::state(const Parameters& parameters, const Matrix& spike_factor) {
  return {parameters, order_parameters(parameters.K, spike_factor), statistics(parameters)};
}

LossTangents PopulationLoss::differentiate(const Parameters& parameters,
                                           const std::vector<Parameters>& directions,
                                           const std::function<void()>& between) {
  const std::size_t size = Kernel<double>::result_size(impl_->shape_);
  const ExactSums sums = impl_->tangent_sums({&parameters, 1}, directions, 1, size, between);
  const auto samples = static_cast<double>(impl_->sampling_.samples);
  LossTangents result{.at = impl_->mean(sums, 0, 1, samples), .products = {}};
  for (std::size_t d = 1; d <= directions.size(); ++d)
    result.products.push_back(impl_->mean(sums, d * size, 1, samples).gradient);
  return result;
}

std::vector<Curvature> PopulationLoss::curvatures(std::span<const Parameters> points,
                                                  const std::function<void()>& between) {
  const Activation& activation = impl_->activation_;
  const std::size_t n = points[0].trained_size(activation);
  const auto N = static_cast<Eigen::Index>(n);
  std::vector<Parameters> units;
  for (Eigen::Index i = 0; i < N; ++i)
    units.push_back(Parameters::zero(impl_->shape_).moved(activation, Vector::Unit(N, i)));
  const std::size_t size = Kernel<double>::result_size(impl_->shape_);
  const int replicates = impl_->sampling_.replicates;
  const ExactSums sums = impl_->tangent_sums(points, units, replicates, size, between);
  const auto samples = static_cast<double>(impl_->sampling_.samples_per_replicate());
  std::vector<Curvature> result;
  for (std::size_t r = 0; r < static_cast<std::size_t>(replicates); ++r) {
    const auto sum = [&](std::size_t i) {
      return impl_->mean(sums, (r * (n + 1) + i) * size, 1, samples);
    };
    const LossGradient at = sum(0);
    Curvature& one =
        result.emplace_back(Curvature{at.loss, at.gradient.packed(activation), Matrix(N, N)});
    for (std::size_t i = 0; i < n; ++i)
      one.hessian.row(static_cast<Eigen::Index>(i)) = sum(i + 1).gradient.packed(activation);
    one.hessian = (0.5 * (one.hessian + one.hessian.transpose())).eval();
  }
  return result;
}

void PopulationLoss::resample(std::uint64_t epoch) { impl_->blocks_->resample(epoch); }

PopulationCost PopulationLoss::cost(const Shape& shape, const Prior& prior,
                                    const Sampling& sampling, int ranks) {
  PopulationCost cost;
  const auto blocks =
      local_range(0, SampleBlocks::blocks_per_replicate(sampling) * sampling.replicates, ranks);
  const auto in_block = std::min(block_size, sampling.samples_per_replicate());
  cost.samples_per_rank = blocks.size() * in_block;
  if (sampling.symmetric) cost.images = closed_set(shape, prior).size();
  const double bytes = sampling.precision == Precision::single ? sizeof(float) : sizeof(double);
  cost.sample_gib = static_cast<double>(cost.samples_per_rank) * shape.tokens *
                    shape.coordinates() * bytes / 0x1p30;
  cost.kept = cost.sample_gib <= sampling.memory_gib;
  return cost;
}

}  // namespace headflow
