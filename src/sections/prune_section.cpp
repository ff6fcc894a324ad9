#include "sections/prune_section.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/progress.hpp"
#include "core/stopwatch.hpp"
#include "headflow/train/prune.hpp"
#include "output/columns.hpp"
#include "sections/cost.hpp"
#include "sections/population_section.hpp"
#include "sections/run.hpp"
#include "sections/start_section.hpp"
#include "sections/train_section.hpp"

namespace headflow {
namespace {

/// Of each start, one after the other.
using Prunings = std::vector<Pruning>;

template <class T>
std::function<Values(const Prunings&)> over_starts(std::vector<T> Pruning::*numbers, double add) {
  return [numbers, add](const Prunings& all) {
    Values values;
    for (const Pruning& one : all)
      for (const T number : one.*numbers) values.push_back(static_cast<double>(number) + add);
    return values;
  };
}

std::vector<Column<Prunings>> pruning_columns(int heads) {
  std::vector<Column<Prunings>> columns = {{"loss",
                                            {"start", "left"},
                                            "loss with 0, 1, .. heads removed",
                                            over_starts(&Pruning::loss, 0)},
                                           {"loss_stderr",
                                            {"start", "left"},
                                            "its standard error",
                                            over_starts(&Pruning::loss_stderr, 0)}};
  if (heads > 1)
    columns.push_back(
        {"order", {"start", "removal"}, "head that was removed", over_starts(&Pruning::order, 1)});
  return columns;
}

}  // namespace

void PruneSection::prepare(Configuration& input) {
  if (given) require_heads(input, name());
}

/// Seconds for a block of samples and for the removals, from prunings with one block and with five.
void PruneSection::print_cost(CostReport& report) const {
  const double H = report.input().model().shape.heads;
  report.add_block(H * (H + 2));
  const Configuration& input = report.input();
  const Sampling& sampling = input.section<PopulationSection>().test_sampling;
  const auto seconds = [&](std::int64_t blocks) {
    Sampling few = sampling;
    few.replicates = 1;
    few.samples = blocks * block_size;
    const Stopwatch watch;
    prune(report.self(), input.model(), input.section<StartSection>().parameters(), few);
    return watch.seconds();
  };
  const double one = seconds(1);
  const double block = std::max(0.0, seconds(5) - one) / 4;
  const auto blocks = static_cast<double>(divided_up(sampling.blocks(), report.ranks()));
  const auto& train = input.section<TrainSection>();
  const auto starts = static_cast<double>(train.given ? train.starts() : 1);
  const double all = starts * (block * blocks + std::max(0.0, one - block));
  fmt::print("# prune                      {}, about {} (h:mm:ss)\n", with_noun(starts, "start"),
             clock_text(all));
  report.add_seconds(name(), all);
}

void PruneSection::run(Run& run) {
  Prunings result;
  for (const Parameters& heads : heads_of(run))
    result.push_back(prune(run.comm(), run.model(), heads,
                           run.section<PopulationSection>().test_sampling, run.without_state()));
  const int H = run.model().shape.heads;
  DataGroup& group = run.add_group(name());
  group.dimensions = {counted("start", static_cast<std::int64_t>(result.size()), "trained heads"),
                      counted("left", H, "all heads, one fewer, .."),
                      counted("removal", H - 1, "removal of a head")};
  add_variables(group, pruning_columns(H), result);
  if (!run.talks()) return;
  fmt::print("pruned: loss with 0, 1, .. heads removed");
  for (const double loss : result[0].loss) fmt::print(" {:.4f}", loss);
  fmt::print("{}\n", result.size() > 1 ? " (first start)" : "");
}

}  // namespace headflow
