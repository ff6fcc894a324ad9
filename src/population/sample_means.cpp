#include "population/sample_means.hpp"

#include <algorithm>
#include <cmath>

#include "core/exact_sum.hpp"
#include "headflow/core/error.hpp"
#include "headflow/core/local_range.hpp"

namespace headflow {

double SampleMeans::standard_error(
    const std::function<double(const std::vector<double>&)>& f) const {
  const auto n = static_cast<double>(replicates.size());
  if (n < 2) return 0;
  const double centre = f(mean);
  double sum = 0;
  for (const auto& replicate : replicates) sum += std::pow(f(replicate) - centre, 2);
  return std::sqrt(sum / (n * (n - 1)));
}

SampleMeans sample_means(const Communicator& comm, const Shape& shape, const Prior& prior,
                         const Sampling& sampling, std::size_t size, const BlockSums& block_sums) {
  const SampleGenerator generator(shape, prior, sampling);
  const std::int64_t length = sampling.samples_per_replicate();
  const std::int64_t blocks = divided_up(length, block_size);
  const auto replicates = static_cast<std::size_t>(sampling.replicates);
  constexpr std::int64_t lanes = lane_count<double>;
  AlignedVector<double> x(static_cast<std::size_t>(divided_up(std::min(length, block_size), lanes) *
                                                   lanes * shape.tokens * shape.coordinates()));
  ExactSums total(size * replicates);
  std::vector<double> sums(size);
  const IndexRange mine = local_range(comm.rank(), blocks * sampling.replicates, comm.size());
  for (std::int64_t block = mine.begin; block < mine.end; ++block) {
    const std::int64_t first = block % blocks * block_size;
    const std::int64_t count = std::min(block_size, length - first);
    const auto replicate = static_cast<std::size_t>(block / blocks);
    generator.fill(static_cast<int>(replicate), first, count, x.data());
    std::fill(sums.begin(), sums.end(), 0.0);
    block_sums(x.data(), count, sums);
    for (std::size_t i = 0; i < size; ++i) total.add(replicate * size + i, sums[i]);
  }
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
