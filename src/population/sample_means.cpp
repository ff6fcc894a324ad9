#include "population/sample_means.hpp"

#include <algorithm>
#include <cmath>

#include "core/exact_sum.hpp"
#include "core/flush_denormals.hpp"
#include "headflow/core/error.hpp"
#include "headflow/core/statistics.hpp"
#include "population/rank_blocks.hpp"
#include "population/samples.hpp"

namespace headflow {

double SampleMeans::standard_error(
    const std::function<double(const std::vector<double>&)>& f) const {
  const auto n = static_cast<double>(replicates.size());
  if (n < 2) return never;
  const double centre = f(mean);
  double sum = 0;
  for (const auto& replicate : replicates) sum += std::pow(f(replicate) - centre, 2);
  return std::sqrt(sum / (n * (n - 1)));
}

void require_samples(const Shape& shape, const Prior& prior, const Sampling& sampling) {
  SampleGenerator::dimension_of(shape, prior, sampling);
}

SampleMeans sample_means(const Communicator& comm, const Shape& shape, const Prior& prior,
                         const Sampling& sampling, std::size_t size, const BlockSums& block_sums,
                         Control& control) {
  const SampleGenerator generator(shape, prior, sampling);
  const std::int64_t length = sampling.samples_per_replicate();
  const auto replicates = static_cast<std::size_t>(sampling.replicates);
  constexpr std::int64_t lanes = lane_count<double>;
  AlignedVector<double> x(static_cast<std::size_t>(divided_up(std::min(length, block_size), lanes) *
                                                   lanes * shape.tokens * shape.coordinates()));
  const auto* law = std::get_if<MixtureLaw>(&prior.law());
  const double components = law != nullptr ? static_cast<double>(law->centres.rows()) : 1;
  const double work =
      shape.tokens * (shape.coordinates() + static_cast<double>(size) * (1 + shape.heads) +
                      components * shape.features);
  ExactSums total(size * replicates);
  std::vector<double> sums(size);
  RankBlocks(comm, sampling).for_each(work, control, [&](std::int64_t number) {
    const auto [replicate, first, count] = sampling.block(number);
    generator.fill(replicate, first, count, x.data());
    std::fill(sums.begin(), sums.end(), 0.0);
    {
      const FlushDenormals fast;
      block_sums(x.data(), count, sums);
    }
    for (std::size_t i = 0; i < size; ++i)
      total.add(static_cast<std::size_t>(replicate) * size + i, sums[i]);
  });
  total.reduce(comm);
  if (total.poisoned()) throw NumericalError("a mean over samples is not finite");
  SampleMeans means{.mean = std::vector<double>(size),
                    .replicates = std::vector(replicates, std::vector<double>(size))};
  for (std::size_t i = 0; i < size; ++i) {
    means.mean[i] = total.value(i, size, replicates) / static_cast<double>(sampling.samples);
    for (std::size_t r = 0; r < replicates; ++r)
      means.replicates[r][i] = total.value(r * size + i) / static_cast<double>(length);
  }
  return means;
}

}  // namespace headflow
