#include "sections/section.hpp"

#include <algorithm>

#include "input/reader.hpp"
#include "sections/attention_section.hpp"
#include "sections/bayes_section.hpp"
#include "sections/flow_section.hpp"
#include "sections/maps_section.hpp"
#include "sections/model_section.hpp"
#include "sections/output_section.hpp"
#include "sections/population_section.hpp"
#include "sections/prune_section.hpp"
#include "sections/saddle_section.hpp"
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
    : sections_(make<ModelSection, AttentionSection, StartSection, PopulationSection, FlowSection,
                     SgdSection, SaddleSection, TrainSection, BayesSection, PruneSection,
                     MapsSection, OutputSection>()) {
  for (const auto& section : sections_) views_.push_back(section.get());
}

void Sections::read(const toml::table& table, const std::string& name) {
  toml::table own = table;
  own.erase("sweep");  // read_sweep
  read_sections(own, name, views_);
}

std::vector<std::string> petsc_prefixes() {
  std::vector<std::string> prefixes;
  for (const auto& section : Sections())
    if (section->takes_petsc_options())
      prefixes.push_back("-" + std::string(section->name()) + "_");
  return prefixes;
}

bool is_petsc_option(const std::string& word) {
  const auto prefixes = petsc_prefixes();
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](const std::string& prefix) { return word.starts_with(prefix); });
}

}  // namespace headflow
