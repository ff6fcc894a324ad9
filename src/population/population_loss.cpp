#include "headflow/population/population_loss.hpp"

#include <new>
#include <optional>
#include <utility>

#include "core/exact_sum.hpp"
#include "core/flush_denormals.hpp"
#include "headflow/core/error.hpp"
#include "headflow/core/statistics.hpp"
#include "population/kernel.hpp"
#include "population/moment_kernel.hpp"
#include "population/sample_blocks.hpp"
#include "population/samples.hpp"
#include "population/symmetry.hpp"

namespace headflow {
class PopulationLoss::Impl {
 public:
  Impl(const Communicator& comm, const Model& model, const Sampling& sampling, bool noise,
       Control& control)
      : comm_(comm),
        model_(model),
        noise_(noise),
        result_size_(Kernel<double>::result_size(model.shape, noise)),
        sampling_(sampling),
        rank_blocks_(comm, sampling),
        images_(sampling.symmetric ? closed_set(model.shape, model.signal)
                                   : std::vector{SampleSymmetry(
                                         model.shape, 0, Vector::Ones(model.shape.features))}) {
    const bool kept = cost(model, sampling, comm.size()).kept;
    bool failed = false;
    try {
      blocks_ = SampleBlocks::make(model, sampling, rank_blocks_, kept, noise);
    } catch (const std::bad_alloc&) {
      failed = true;
    }
    if (comm.any(failed))
      throw InputError(
          "not enough memory to keep the samples; lower population.memory (they are then "
          "drawn again with the same bits), or use more nodes");
    resample(0, control);
  }

  void resample(std::uint64_t epoch, Control& control) {
    if (epoch_ == epoch) return;
    epoch_.reset();
    blocks_->draw(epoch, control);
    epoch_ = epoch;
  }

  /// Sums over samples and images, one set for each replicate or (`groups` = 1) one for all;
  /// collective.
  ExactSums sums(const Parameters& parameters, int groups, Control& control) {
    return tangent_sums({&parameters, 1}, no_directions(), groups, result_size_, control);
  }

  /// The same, each replicate at a point of its own where there are several, along directions of
  /// its own where there are several sets, and behind each set of `size` those of the tangents, one
  /// after the other.
  ExactSums tangent_sums(std::span<const Parameters> points,
                         std::span<const std::vector<Parameters>> directions, int groups,
                         std::size_t size, Control& control) {
    const std::size_t stride = size * (1 + directions[0].size());
    ExactSums total(stride * static_cast<std::size_t>(groups));
    std::vector<double> block_sums(size);
    const auto add = [&](const SampleSymmetry& g, std::size_t offset) {
      Eigen::Map<Matrix> G(&block_sums[1], model_.shape.heads, model_.shape.coordinates());
      G = g.pull_back(G);
      for (std::size_t i = 0; i < size; ++i) total.add(offset + i, block_sums[i]);
    };
    const Shape& shape = model_.shape;
    const double work = static_cast<double>(images_.size() * (1 + 2 * directions[0].size())) *
                        shape.tokens * shape.heads * shape.coordinates();
    rank_blocks_.for_each(work, control, [&](std::int64_t block) {
      const FlushDenormals fast;
      const auto replicate = static_cast<std::size_t>(sampling_.block(block).replicate);
      const Parameters& point = own(points, replicate);
      for (const SampleSymmetry& g : images_) {
        std::size_t offset = groups == 1 ? 0 : replicate * stride;
        const Parameters image = image_of(g, point);
        blocks_->evaluate(block, image, block_sums);
        add(g, offset);
        for (const Parameters& direction : own(directions, replicate)) {
          blocks_->differentiate(block, image, image_of(g, direction), block_sums);
          add(g, offset += size);
        }
      }
    });
    reduce(total, points);
    return total;
  }

  /// The moments of zeta over each replicate; collective.
  std::vector<StepMoments> step_moments(std::span<const Parameters> points, double kappa,
                                        Control& control) {
    const std::size_t n = order_parameter_count(model_.shape, model_.training);
    const std::size_t size = MomentKernel<double>::result_size(model_.shape, model_.training);
    const auto replicates = static_cast<std::size_t>(sampling_.replicates);
    ExactSums total(size * replicates);
    std::vector<double> block_sums(size);
    const Shape& shape = model_.shape;
    const double work =
        static_cast<double>(images_.size()) *
        (shape.tokens * shape.heads * shape.coordinates() + static_cast<double>(size));
    rank_blocks_.for_each(work, control, [&](std::int64_t block) {
      const FlushDenormals fast;
      const auto replicate = static_cast<std::size_t>(sampling_.block(block).replicate);
      const std::size_t offset = replicate * size;
      for (const SampleSymmetry& g : images_) {
        blocks_->moments(block, image_of(g, own(points, replicate)), kappa, block_sums);
        const std::vector<double> sign = signs(g, n);
        std::size_t next = 0;
        for (; next < n; ++next) total.add(offset + next, sign[next] * block_sums[next]);
        for (std::size_t i = 0; i < n; ++i)
          for (std::size_t j = 0; j <= i; ++j, ++next)
            total.add(offset + next, sign[i] * sign[j] * block_sums[next]);
      }
    });
    reduce(total, points);
    std::vector<StepMoments> moments;
    for (std::size_t r = 0; r < replicates; ++r) moments.push_back(moments_of(total, r * size, n));
    return moments;
  }

  /// With what weight decay adds at K.
  LossGradient with_decay(LossGradient value, const Matrix& K) const {
    if (model_.weight_decay == 0 || !model_.training.k) return value;
    value.penalty = model_.penalty(K);
    value.gradient.K += model_.weight_decay * K;
    return value;
  }
  /// Derivatives along dK, with those of what weight decay adds at K.
  LossGradient with_decay(LossGradient along, const Matrix& K, const Matrix& dK) const {
    if (model_.weight_decay == 0 || !model_.training.k) return along;
    along.penalty = model_.weight_decay * K.cwiseProduct(dK).sum();
    along.gradient.K += model_.weight_decay * dK;
    return along;
  }

  /// The mean over the samples of `groups` sets of sums, the first of which starts at `offset`.
  LossGradient mean(const ExactSums& sums, std::size_t offset, std::size_t groups, double samples,
                    bool with_noise = false) const {
    const double scale = 1 / (samples * static_cast<double>(images_.size()));
    const Training& training = model_.training;
    std::size_t next = offset;
    const auto value = [&] { return sums.value(next++, result_size_, groups) * scale; };
    LossGradient result{.loss = value(), .gradient = Parameters::zero(model_.shape), .noise = {}};
    Parameters& gradient = result.gradient;
    for (Eigen::Index i = 0; i < gradient.K.size(); ++i) gradient.K.data()[i] = value();
    for (double& b : gradient.b) b = value();
    gradient.v = value();
    if (!training.k) gradient.K.setZero();
    if (training.b == 0) gradient.b.setZero();
    if (training.v == 0) gradient.v = 0;
    if (with_noise) {
      next = offset + Kernel<double>::result_size(model_.shape);
      const int H = model_.shape.heads;
      result.noise.resize(H, H);
      for (int h = 0; h < H; ++h)
        for (int g = 0; g <= h; ++g) result.noise(h, g) = result.noise(g, h) = value();
    }
    return result;
  }

  /// What belongs to a replicate where each has its own, or the one that all share.
  template <class T>
  static const T& own(std::span<const T> all, std::size_t replicate) {
    return all[all.size() == 1 ? 0 : replicate];
  }
  static std::span<const std::vector<Parameters>> no_directions() {
    static const std::vector<Parameters> none;
    return {&none, 1};
  }

  const Communicator& comm_;
  Model model_;
  bool noise_;
  std::size_t result_size_;
  Sampling sampling_;

 private:
  void reduce(ExactSums& total, std::span<const Parameters> points) const {
    std::uint64_t state = 0;
    for (const Parameters& point : points) state = 31 * state + fingerprint(point.numbers());
    total.reduce(comm_, state);
    if (total.poisoned()) throw NumericalError("the population loss or its gradient is not finite");
  }

  /// Of each of the n entries of zeta: an image differs from its base sample by signs of features.
  std::vector<double> signs(const SampleSymmetry& g, std::size_t n) const {
    const auto& [L, H, F] = model_.shape;
    const Matrix sign = g.pull_back(Matrix::Ones(H, F + H));
    std::vector<double> all(n, 1);
    for (int h = 0; h < H && model_.training.k; ++h)
      for (int f = 0; f < F; ++f) all[static_cast<std::size_t>(h * F + f)] = sign(h, f);
    return all;
  }

  StepMoments moments_of(const ExactSums& sums, std::size_t offset, std::size_t n) const {
    const double samples = static_cast<double>(sampling_.samples_per_replicate()) *
                           static_cast<double>(images_.size());
    const auto value = [&] { return sums.value(offset++) / samples; };
    const auto N = static_cast<Eigen::Index>(n);
    StepMoments moments{Vector(N), Matrix(N, N)};
    for (double& mean : moments.mean) mean = value();
    for (Eigen::Index i = 0; i < N; ++i)
      for (Eigen::Index j = 0; j <= i; ++j)
        moments.covariance(i, j) = moments.covariance(j, i) =
            value() - moments.mean[i] * moments.mean[j];
    return moments;
  }

  static Parameters image_of(const SampleSymmetry& g, const Parameters& parameters) {
    return {g.apply(parameters.K), parameters.b, parameters.v};
  }

  RankBlocks rank_blocks_;
  std::vector<SampleSymmetry> images_;
  std::unique_ptr<SampleBlocks> blocks_;
  std::optional<std::uint64_t> epoch_;  // of the samples that are drawn, if they all are
};

PopulationLoss::PopulationLoss(const Communicator& comm, const Model& model,
                               const Sampling& sampling, bool noise, Control& control)
    : impl_(std::make_unique<Impl>(comm, model, sampling, noise, control)) {}

PopulationLoss::~PopulationLoss() = default;
PopulationLoss::PopulationLoss(PopulationLoss&&) noexcept = default;

const Model& PopulationLoss::model() const { return impl_->model_; }
int PopulationLoss::replicates() const { return impl_->sampling_.replicates; }
double PopulationLoss::rounding() const {
  return impl_->sampling_.precision == Precision::single ? 1e-6 : 1e-12;
}

LossGradient PopulationLoss::evaluate(const Parameters& parameters, Control& control) {
  return impl_->with_decay(
      impl_->mean(impl_->sums(parameters, 1, control), 0, 1,
                  static_cast<double>(impl_->sampling_.samples), impl_->noise_),
      parameters.K);
}

std::vector<LossGradient> PopulationLoss::evaluate_each(std::span<const Parameters> points,
                                                        Control& control) {
  const int replicates = impl_->sampling_.replicates;
  const ExactSums sums =
      impl_->tangent_sums(points, Impl::no_directions(), replicates, impl_->result_size_, control);
  const auto samples = static_cast<double>(impl_->sampling_.samples_per_replicate());
  std::vector<LossGradient> result;
  for (std::size_t r = 0; r < static_cast<std::size_t>(replicates); ++r)
    result.push_back(
        impl_->with_decay(impl_->mean(sums, r * impl_->result_size_, 1, samples, impl_->noise_),
                          Impl::own(points, r).K));
  return result;
}

LossStatistics PopulationLoss::statistics(const Parameters& parameters, Control& control) {
  const int replicates = impl_->sampling_.replicates;
  const ExactSums sums = impl_->sums(parameters, replicates, control);
  const std::size_t size = impl_->result_size_;
  const auto per_replicate = static_cast<double>(impl_->sampling_.samples_per_replicate());

  const auto mean = [&](std::size_t offset, std::size_t groups) {
    return impl_->with_decay(
        impl_->mean(sums, offset, groups, per_replicate * static_cast<double>(groups),
                    impl_->noise_),
        parameters.K);
  };
  std::vector<LossGradient> each;
  for (int r = 0; r < replicates; ++r) each.push_back(mean(static_cast<std::size_t>(r) * size, 1));
  LossStatistics result{.mean = mean(0, static_cast<std::size_t>(replicates))};

  const Training training = impl_->model_.training.at_one_rate();
  const Vector gradient = result.mean.gradient.packed(training);
  result.gradient_norm = gradient.norm();
  std::vector<double> losses, norms;  // the latter of the gradients projected on the mean one
  for (const LossGradient& replicate : each) {
    losses.push_back(replicate.loss);
    norms.push_back(result.gradient_norm == 0
                        ? 0
                        : replicate.gradient.packed(training).dot(gradient) / result.gradient_norm);
  }
  result.loss_stderr = standard_error(losses);
  result.gradient_norm_stderr = standard_error(norms);
  return result;
}

State PopulationLoss::state(const Parameters& parameters, Control& control) {
  return {parameters, order_parameters(parameters.K, model().spike_factor),
          statistics(parameters, control)};
}

LossTangents PopulationLoss::differentiate(const Parameters& parameters,
                                           const std::vector<Parameters>& directions,
                                           Control& control) {
  const std::size_t size = Kernel<double>::result_size(impl_->model_.shape);
  const ExactSums sums = impl_->tangent_sums({&parameters, 1}, {&directions, 1}, 1, size, control);
  const auto samples = static_cast<double>(impl_->sampling_.samples);
  LossTangents result{.at = impl_->with_decay(impl_->mean(sums, 0, 1, samples), parameters.K),
                      .products = {}};
  for (std::size_t d = 0; d < directions.size(); ++d)
    result.products.push_back(impl_
                                  ->with_decay(impl_->mean(sums, (d + 1) * size, 1, samples),
                                               parameters.K, directions[d].K)
                                  .gradient);
  return result;
}

std::vector<Linearization> PopulationLoss::linearize(
    std::span<const Parameters> points, std::span<const std::vector<Parameters>> directions,
    Control& control) {
  const int replicates = impl_->sampling_.replicates;
  const std::size_t size = impl_->result_size_;
  const ExactSums sums = impl_->tangent_sums(points, directions, replicates, size, control);
  const auto samples = static_cast<double>(impl_->sampling_.samples_per_replicate());
  std::size_t offset = 0;
  const auto next = [&] {
    return impl_->mean(sums, std::exchange(offset, offset + size), 1, samples, impl_->noise_);
  };
  std::vector<Linearization> result;
  for (std::size_t r = 0; r < static_cast<std::size_t>(replicates); ++r) {
    const Matrix& K = Impl::own(points, r).K;
    Linearization& one = result.emplace_back(Linearization{impl_->with_decay(next(), K), {}});
    for (const Parameters& direction : Impl::own(directions, r))
      one.along.push_back(impl_->with_decay(next(), K, direction.K));
  }
  return result;
}

std::vector<StepMoments> PopulationLoss::step_moments(std::span<const Parameters> points,
                                                      double kappa, Control& control) {
  return impl_->step_moments(points, kappa, control);
}

std::vector<Curvature> PopulationLoss::curvatures(std::span<const Parameters> points,
                                                  Control& control) {
  const Training& training = impl_->model_.training;
  const std::size_t n = points[0].trained_size(training);
  const auto N = static_cast<Eigen::Index>(n);
  std::vector<Parameters> units;
  for (Eigen::Index i = 0; i < N; ++i)
    units.push_back(Parameters::zero(impl_->model_.shape).moved(training, Vector::Unit(N, i)));
  const std::size_t size = Kernel<double>::result_size(impl_->model_.shape);
  const int replicates = impl_->sampling_.replicates;
  const ExactSums sums = impl_->tangent_sums(points, {&units, 1}, replicates, size, control);
  const auto samples = static_cast<double>(impl_->sampling_.samples_per_replicate());
  std::vector<Curvature> result;
  for (std::size_t r = 0; r < static_cast<std::size_t>(replicates); ++r) {
    const auto sum = [&](std::size_t i) {
      return impl_->mean(sums, (r * (n + 1) + i) * size, 1, samples);
    };
    const Matrix& K = Impl::own(points, r).K;
    const LossGradient at = impl_->with_decay(sum(0), K);
    Curvature& one = result.emplace_back(
        Curvature{at.loss, at.gradient.packed_gradient(training), Matrix(N, N)});
    for (std::size_t i = 0; i < n; ++i)
      one.hessian.row(static_cast<Eigen::Index>(i)) =
          impl_->with_decay(sum(i + 1), K, units[i].K).gradient.packed_gradient(training);
    one.hessian = (0.5 * (one.hessian + one.hessian.transpose())).eval();
  }
  return result;
}

void PopulationLoss::resample(std::uint64_t epoch, Control& control) {
  impl_->resample(epoch, control);
}

PopulationCost PopulationLoss::cost(const Model& model, const Sampling& sampling, int ranks,
                                    bool noise) {
  SampleGenerator::dimension_of(model.shape, model.signal, sampling);
  PopulationCost cost;
  const auto blocks = local_range(0, sampling.blocks(), ranks);
  const auto in_block = std::min(block_size, sampling.samples_per_replicate());
  cost.samples_per_rank = blocks.size() * in_block;
  if (sampling.symmetric) cost.images = closed_set(model.shape, model.signal).size();
  cost.sample_gib = static_cast<double>(cost.samples_per_rank) * model.shape.tokens *
                    model.shape.coordinates() * sampling.stored_bytes() / 0x1p30;
  cost.kept = cost.sample_gib <= sampling.memory_gib;
  cost.message_bytes = ExactSums::message_bytes(Kernel<double>::result_size(model.shape, noise));
  return cost;
}

}  // namespace headflow
