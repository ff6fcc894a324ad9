#include "sections/cost.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/progress.hpp"
#include "core/stopwatch.hpp"
#include "sections/population_section.hpp"
#include "sections/start_section.hpp"

namespace headflow {
namespace {

double seconds_of(auto&& work) {
  const Stopwatch watch;
  work();
  return watch.seconds();
}

}  // namespace

/// One block of samples on this process.
PopulationLoss CostReport::one_block() const {
  Sampling sampling = input_.section<PopulationSection>().sampling;
  sampling.samples = std::min(sampling.samples, block_size);
  sampling.replicates = 1;
  return PopulationLoss(self_, input_.model(), sampling);
}

const CostReport::Pilot& CostReport::pilot() {
  if (pilot_) return *pilot_;
  const Parameters& start = input_.section<StartSection>().parameters();
  const auto samples = static_cast<double>(
      std::min(input_.section<PopulationSection>().sampling.samples, block_size));
  std::optional<PopulationLoss> loss;
  const double drawn = seconds_of([&] { loss.emplace(one_block()); });
  loss->evaluate(start);
  const double evaluated = seconds_of([&] { loss->evaluate(start); });
  return pilot_.emplace(Pilot{evaluated / samples, drawn / samples});
}

double CostReport::seconds_per_evaluation(const Sampling& sampling) {
  const PopulationCost cost = PopulationLoss::cost(input_.model(), sampling, comm_.size());
  return pilot().per_sample *
         static_cast<double>(cost.samples_per_rank * static_cast<std::int64_t>(cost.images));
}

}  // namespace headflow
