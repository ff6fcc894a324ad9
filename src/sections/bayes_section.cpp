#include "sections/bayes_section.hpp"

#include <fmt/format.h>

#include "core/progress.hpp"
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

void BayesSection::print_cost(CostReport& report) const { report.add_block(0); }

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
