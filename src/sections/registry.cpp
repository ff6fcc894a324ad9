#include "sections/section.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "headflow/core/petsc.hpp"
#include "input/reader.hpp"
#include "sections/attention_section.hpp"
#include "sections/bayes_section.hpp"
#include "sections/flow_section.hpp"
#include "sections/fluctuations_section.hpp"
#include "sections/maps_section.hpp"
#include "sections/model_section.hpp"
#include "sections/output_section.hpp"
#include "sections/population_section.hpp"
#include "sections/prune_section.hpp"
#include "sections/saddle_section.hpp"
#include "sections/schedule_section.hpp"
#include "sections/sgd_section.hpp"
#include "sections/start_section.hpp"
#include "sections/train_section.hpp"

namespace headflow {
namespace {

template <class... S>
std::vector<std::unique_ptr<Section>> make() {
  std::vector<std::unique_ptr<Section>> sections;
  (sections.push_back(std::make_unique<S>()), ...);
  return sections;
}

}  // namespace

Sections::Sections()
    : sections_(make<ModelSection, AttentionSection, ScheduleSection, StartSection,
                     PopulationSection, FlowSection, SgdSection, FluctuationsSection, SaddleSection,
                     TrainSection, BayesSection, PruneSection, MapsSection, OutputSection>()) {
  for (const auto& section : sections_) views_.push_back(section.get());
}

void Sections::read(const toml::table& table, const std::string& name) {
  read_sections(table, name, views_, "sweep");  // which read_sweep reads
}

std::vector<std::string> petsc_prefixes() {
  std::vector<std::string> prefixes;
  for (const auto& section : Sections())
    if (section->takes_petsc_options()) prefixes.push_back(fmt::format("-{}_", section->name()));
  return prefixes;
}

std::vector<std::string> petsc_examples() {
  std::vector<std::string> all;
  for (const auto& section : Sections())
    for (auto& example : section->petsc_examples()) all.push_back(std::move(example));
  return all;
}

void check_petsc_options(const Sections& sections) {
  for (const auto& section : sections) {
    if (!section->takes_petsc_options()) continue;
    if (!section->given)
      require_petsc_options_used(std::string(section->name()) + "_",
                                 fmt::format("none without a section [{}]", section->name()));
    else
      section->check_petsc_options();
  }
}

bool is_petsc_option(const std::string& word) {
  const auto prefixes = petsc_prefixes();
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](const std::string& prefix) { return word.starts_with(prefix); });
}

}  // namespace headflow
