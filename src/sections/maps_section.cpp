#include "sections/maps_section.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/progress.hpp"
#include "core/stopwatch.hpp"
#include "output/columns.hpp"
#include "sections/cost.hpp"
#include "sections/run.hpp"
#include "sections/start_section.hpp"
#include "sections/train_section.hpp"

namespace headflow {
namespace {

const std::vector<Column<AttentionMaps>>& map_columns() {
  using Maps = const AttentionMaps&;
  static const std::vector<Column<AttentionMaps>> columns = {
      {"sigma",
       {"sequence", "head", "token"},
       "attention sigma_hl of the head",
       [](Maps maps) { return maps.sigma; }},
      {"A",
       {"sequence", "token"},
       "attention A_l, the mean over heads",
       [](Maps maps) { return maps.A; }},
      {"theta", {"sequence", "feature"}, "feature weights", [](Maps maps) { return maps.theta; }},
      {"relevant", {"sequence"}, "place eps of the relevant token", [](Maps maps) {
         return maps.place;
       }}};
  return columns;
}

}  // namespace

void MapsSection::prepare(Configuration& input) {
  if (given) require_heads(input, name());
}

void MapsSection::print_cost(CostReport& report) const {
  const Shape& shape = report.input().model().shape;
  const double numbers = 1.0 + shape.features + shape.tokens * (1.0 + shape.heads);
  report.add_disk({.output = 8 * numbers * static_cast<double>(options_.sequences)});
  report.add_memory(
      {.what = "maps", .each = 3 * 8 * numbers * static_cast<double>(options_.sequences)});
  const Configuration& input = report.input();
  MapsOptions few = options_;
  few.sequences = std::min<std::int64_t>(few.sequences, 256);
  const Stopwatch watch;
  attention_maps(input.model(), input.section<StartSection>().parameters(), few);
  const double scale = static_cast<double>(options_.sequences) / static_cast<double>(few.sequences);
  const double seconds = scale * watch.seconds();
  fmt::print("# maps                       {} sequences, about {} (h:mm:ss)\n", options_.sequences,
             clock_text(seconds));
  report.add_seconds(name(), seconds);
}

void MapsSection::run(Run& run) {
  const auto& train = run.section<TrainSection>();
  const auto heads = heads_of(run);
  const AttentionMaps found = attention_maps(
      run.model(), heads[train.result().empty() ? 0 : train.best()], options_, run.without_state());
  const Shape& shape = run.model().shape;
  DataGroup& group = run.add_group(name());
  group.dimensions = {counted("sequence", options_.sequences, "sequence of the prior"),
                      counted("head", shape.heads, "head h"),
                      counted("token", shape.tokens, "token l"),
                      counted("feature", shape.features, "feature f")};
  add_variables(group, map_columns(), found);
}

}  // namespace headflow
