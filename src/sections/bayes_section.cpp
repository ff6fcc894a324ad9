#include "sections/bayes_section.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/progress.hpp"
#include "core/stopwatch.hpp"
#include "headflow/core/error.hpp"
#include "output/columns.hpp"
#include "sections/cost.hpp"
#include "sections/population_section.hpp"
#include "sections/run.hpp"

namespace headflow {
namespace {

const std::vector<Column<BayesRisk>>& risk_columns() {
  static const std::vector<Column<BayesRisk>> columns = {
      {"risk", {}, "Bayes risk", [](const BayesRisk& found) { return Values{found.risk}; }},
      {"risk_stderr",
       {},
       "standard error of the risk, from replicates of the samples",
       [](const BayesRisk& found) { return Values{found.error}; }},
      {"samples", {}, "samples", [](const BayesRisk& found) {
         return Values{static_cast<double>(found.samples)};
       }}};
  return columns;
}

}  // namespace

void BayesSection::prepare(Configuration& input) {
  if (!given) return;
  const Sampling& sampling = input.prepared<PopulationSection>().test_sampling;
  if (sampling.replicates < 2)
    throw InputError("[bayes] needs population.replicates >= 2 for its standard error, found 1");
  require_bayes_samples(input.model(), sampling);
}

/// A pilot of a block a replicate tells the seconds of a sample and how many the standard error
/// needs, if errors fall with the root of the samples; those of Sobol points fall faster.
void BayesSection::print_cost(CostReport& report) const {
  report.add_block(0);
  const Configuration& input = report.input();
  const Sampling& sampling = input.section<PopulationSection>().test_sampling;
  Sampling few = sampling;
  few.replicates = 16;
  few.samples = few.replicates * block_size;
  const Stopwatch watch;
  const BayesRisk pilot = bayes_risk(report.self(), input.model(), few,
                                     {.standard_error = 0, .samples = 2 * few.samples});
  const double each = watch.seconds() / static_cast<double>(pilot.samples) / report.ranks();
  const auto most = static_cast<double>(options_.samples);
  const double ratio = pilot.error / options_.standard_error;
  const double needed = static_cast<double>(pilot.samples) * ratio * ratio;
  double samples = std::min(static_cast<double>(sampling.samples), most), all = samples;
  for (; samples < needed && 2 * samples <= most; all += samples) samples *= 2;
  fmt::print(
      "# bayes                      up to {:.0f} samples for a standard error of {:.2g}, "
      "about {} (h:mm:ss)\n",
      samples, options_.standard_error * std::sqrt(std::max(1.0, needed / samples)),
      clock_text(each * all));
  report.add_seconds(name(), each * all);
}

void BayesSection::run(Run& run) {
  const BayesRisk found =
      bayes_risk(run.comm(), run.model(), run.section<PopulationSection>().test_sampling, options_,
                 run.without_state());
  add_variables(run.add_group(name()), risk_columns(), found);
  if (run.talks())
    fmt::print("Bayes risk: {}{}, {} samples{}\n", with_error(found.risk, found.error, "{:.7g}"),
               run.model().spike_gram().isIdentity(0) ? "" : " (for the spikes of this start)",
               found.samples,
               found.error > options_.standard_error ? " (more would be over bayes.samples)" : "");
}

}  // namespace headflow
