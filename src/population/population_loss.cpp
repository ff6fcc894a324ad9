#include "headflow/population/population_loss.hpp"

#include <cmath>
#include <new>

#include "headflow/core/error.hpp"
#include "headflow/core/exact_sum.hpp"
#include "headflow/core/local_range.hpp"
#include "headflow/population/kernel.hpp"

namespace headflow {
namespace {

constexpr std::int64_t blocks_between = (1 << 18) / block_size;

std::int64_t blocks_per_replicate(const Sampling& sampling) {
  return (sampling.samples_per_replicate() + block_size - 1) / block_size;
}

double square(double x) { return x * x; }

/// Samples in the largest block, filled up to whole groups of lanes, so that every block starts
/// aligned.
template <class Real>
std::size_t padded_block(const Sampling& sampling) {
  constexpr std::int64_t lanes = lane_count<Real>;
  const std::int64_t count = std::min(block_size, sampling.samples_per_replicate());
  return static_cast<std::size_t>((count + lanes - 1) / lanes * lanes);
}

/// This rank's blocks: handed out from memory, or regenerated into one block of scratch, with the
/// same bits.
class SampleBlocks {
 public:
  virtual ~SampleBlocks() = default;
  virtual void resample(std::uint64_t epoch) = 0;
  /// Calls the kernel on block `block` of this rank's range at each of `images` and hands on each
  /// block sum.
  virtual void evaluate(std::int64_t block, const std::vector<Parameters>& images,
                        std::vector<std::vector<double>>& sums) = 0;
};

template <class Real>
class TypedBlocks : public SampleBlocks {
 public:
  TypedBlocks(const Shape& shape, Activation activation, const Prior& prior,
              const Sampling& sampling, IndexRange range, bool kept, bool noise)
      : generator_(shape, prior, sampling),
        kernel_(shape, activation, noise),
        sampling_(sampling),
        range_(range),
        kept_(kept),
        block_length_(padded_block<Real>(sampling) *
                      static_cast<std::size_t>(shape.tokens * shape.coordinates())) {
    memory_.resize(block_length_ * static_cast<std::size_t>(kept_ ? range_.size() : 1));
    if (kept_) fill_all();
  }

  void resample(std::uint64_t epoch) override {
    generator_.set_epoch(epoch);
    if (kept_) fill_all();
  }

  void evaluate(std::int64_t block, const std::vector<Parameters>& images,
                std::vector<std::vector<double>>& sums) override {
    Real* x = memory_.data();
    if (kept_)
      x += block_length_ * static_cast<std::size_t>(block - range_.begin);
    else
      fill(block, x);
    for (std::size_t i = 0; i < images.size(); ++i) kernel_(images[i], x, count(block), sums[i]);
  }

 private:
  std::int64_t first(std::int64_t block) const {
    return block % blocks_per_replicate(sampling_) * block_size;
  }
  std::int64_t count(std::int64_t block) const {
    return std::min(block_size, sampling_.samples_per_replicate() - first(block));
  }
  void fill(std::int64_t block, Real* x) {
    generator_.fill(static_cast<int>(block / blocks_per_replicate(sampling_)), first(block),
                    count(block), x);
  }
  void fill_all() {
    for (std::int64_t block = range_.begin; block < range_.end; ++block)
      fill(block, memory_.data() + block_length_ * static_cast<std::size_t>(block - range_.begin));
  }

  SampleGenerator generator_;
  Kernel<Real> kernel_;
  Sampling sampling_;
  IndexRange range_;
  bool kept_;
  std::size_t block_length_;
  AlignedVector<Real> memory_;
};

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
        range_(local_range(comm.rank(), blocks_per_replicate(sampling) * sampling.replicates,
                           comm.size())),
        images_(sampling.symmetric ? closed_set(shape, prior)
                                   : std::vector{SampleSymmetry(shape, 0, 0)}) {
    const bool kept = cost(shape, prior, sampling, comm.size()).kept;
    bool failed = false;
    try {
      if (sampling.precision == Precision::single)
        blocks_ = std::make_unique<TypedBlocks<float>>(shape, activation, prior, sampling, range_,
                                                       kept, noise);
      else
        blocks_ = std::make_unique<TypedBlocks<double>>(shape, activation, prior, sampling, range_,
                                                        kept, noise);
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
    const std::size_t size = result_size_;
    ExactSums total(size * static_cast<std::size_t>(groups));
    std::vector<Parameters> images;
    for (const auto& g : images_)
      images.push_back({g.apply(parameters.K), parameters.b, parameters.v});
    std::vector<std::vector<double>> block_sums(images.size(), std::vector<double>(size));
    const std::int64_t most =
        local_range(0, blocks_per_replicate(sampling_) * sampling_.replicates, comm_.size()).size();
    const std::int64_t pieces = between ? (most + blocks_between - 1) / blocks_between : 1;
    std::int64_t piece = 0;
    for (std::int64_t block = range_.begin; block < range_.end; ++block) {
      for (; piece + 1 < pieces && block - range_.begin >= (piece + 1) * blocks_between; ++piece)
        between();
      blocks_->evaluate(block, images, block_sums);
      const auto group =
          static_cast<std::size_t>(groups == 1 ? 0 : block / blocks_per_replicate(sampling_));
      for (std::size_t i = 0; i < images.size(); ++i)
        deposit(i, block_sums[i], group * size, total);
    }
    for (; piece + 1 < pieces; ++piece) between();  // as often as the ranks that have more blocks
    total.reduce(comm_, state_fingerprint(parameters));
    if (total.poisoned()) throw NumericalError("the population loss or its gradient is not finite");
    return total;
  }

  /// The mean over the samples of `groups` sets of sums, the first of which starts at `offset`.
  LossGradient mean(const ExactSums& sums, std::size_t offset, std::size_t groups,
                    double samples) const {
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
    if (noise_) {
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
  void deposit(std::size_t image, std::vector<double>& sums, std::size_t offset,
               ExactSums& total) const {
    if (image > 0) {
      Eigen::Map<Matrix> G(&sums[1], shape_.heads, shape_.coordinates());
      G = images_[image].pull_back(G);
    }
    for (std::size_t i = 0; i < sums.size(); ++i) total.add(offset + i, sums[i]);
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
                     static_cast<double>(impl_->sampling_.samples));
}

LossStatistics PopulationLoss::statistics(const Parameters& parameters) {
  const int replicates = impl_->sampling_.replicates;
  const ExactSums sums = impl_->sums(parameters, replicates);
  const std::size_t size = impl_->result_size_;
  const auto per_replicate = static_cast<double>(impl_->sampling_.samples_per_replicate());

  std::vector<LossGradient> each;
  for (int r = 0; r < replicates; ++r)
    each.push_back(impl_->mean(sums, static_cast<std::size_t>(r) * size, 1, per_replicate));
  LossStatistics result{.mean = impl_->mean(sums, 0, static_cast<std::size_t>(replicates),
                                            per_replicate * replicates)};

  const std::size_t trained = parameters.trained_size(impl_->activation_);
  Vector mean(static_cast<Eigen::Index>(trained));
  Vector one(mean.size());
  result.mean.gradient.pack(impl_->activation_, {mean.data(), trained});
  result.gradient_norm = mean.norm();
  if (replicates == 1) return result;
  double loss_spread = 0;
  double norm_spread = 0;
  for (const auto& replicate : each) {
    replicate.gradient.pack(impl_->activation_, {one.data(), trained});
    loss_spread += square(replicate.loss - result.mean.loss);
    if (result.gradient_norm > 0)
      norm_spread += square(one.dot(mean) / result.gradient_norm - result.gradient_norm);
  }
  const double pairs = static_cast<double>(replicates) * (replicates - 1);
  result.loss_stderr = std::sqrt(loss_spread / pairs);
  result.gradient_norm_stderr = std::sqrt(norm_spread / pairs);
  return result;
}

State PopulationLoss::state(const Parameters& parameters, const Matrix& spike_factor) {
  return {parameters, order_parameters(parameters.K, spike_factor), statistics(parameters)};
}

void PopulationLoss::resample(std::uint64_t epoch) { impl_->blocks_->resample(epoch); }

PopulationCost PopulationLoss::cost(const Shape& shape, const Prior& prior,
                                    const Sampling& sampling, int ranks) {
  PopulationCost cost;
  const auto blocks = local_range(0, blocks_per_replicate(sampling) * sampling.replicates, ranks);
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
