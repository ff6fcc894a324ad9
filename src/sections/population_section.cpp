#include "sections/population_section.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "headflow/core/error.hpp"
#include "headflow/population/population_loss.hpp"
#include "sections/configuration.hpp"

namespace headflow {
namespace {

/// Fewer samples than so many for each number that is learnt are said to be too few.
constexpr std::int64_t few = 10;

void require_multiple(const char* key, const Sampling& sampling) {
  if (sampling.samples % sampling.replicates != 0)
    throw InputError(
        fmt::format("population.{} = {} must be a multiple of population.replicates "
                    "= {}",
                    key, sampling.samples, sampling.replicates));
}

/// A block of samples must fit in the budget, or nothing can be computed.
void require_memory(const Shape& shape, const Sampling& sampling) {
  const double block = static_cast<double>(block_size) * shape.tokens * shape.coordinates() *
                       sampling.stored_bytes() / 0x1p30;
  if (sampling.memory_gib < block)
    throw InputError(fmt::format(
        "population.memory = {} GiB is too little: one block of {} samples needs {:.3g} GiB",
        sampling.memory_gib, block_size, block));
}

}  // namespace

void PopulationSection::declare_keys(KeyVisitor& visitor) {
  sampling.declare_keys(visitor);
  visitor.key({"test_samples",
               "fresh samples for trained losses, Bayes risk and pruning; default 4 times samples, "
               "or as many as are allowed"},
              test_samples_, {.least = 1, .most = most_samples});
  visitor.key({"resample",
               "number of steps between fresh samples; 0: always the same samples; only with "
               "method = \"euler\""},
              resample, at_least_zero);
}

void PopulationSection::prepare(Configuration& input) {
  require_multiple("samples", sampling);
  const auto most = static_cast<std::int64_t>(most_samples);
  if (!test_samples_)
    test_samples_ = std::min(4 * sampling.samples, most - most % sampling.replicates);
  test_sampling = sampling;
  test_sampling.samples = *test_samples_;
  test_sampling.symmetric = false;
  test_sampling.seed = ~sampling.seed;
  require_multiple("test_samples", test_sampling);
  const Model& model = input.model();
  require_memory(model.shape, sampling);
  const std::size_t trained = Parameters::zero(model.shape).trained_size(model.training);
  if (sampling.samples < few * static_cast<std::int64_t>(trained))
    warning_ = fmt::format(
        "population.samples = {} are too few to stand for the population: there are {} numbers to "
        "learn; take at least {} times as many",
        sampling.samples, trained, few);
  PopulationLoss::cost(model, sampling, input.comm().size());
}

}  // namespace headflow
