#pragma once
#include <optional>

#include "headflow/population/sampling.hpp"
#include "sections/section.hpp"

namespace headflow {

/// [population]: the expectation over sequences.
class PopulationSection : public Section {
 public:
  const char* name() const override { return "population"; }
  const char* help() const override { return "the expectation over sequences"; }
  void declare_keys(KeyVisitor& visitor) override;
  void prepare(Configuration& input) override;

  /// Of samples that are too few to stand for the population.
  std::string warning() const override { return warning_; }

  Sampling sampling;
  Sampling test_sampling;     ///< fresh samples, for what has been trained
  std::int64_t resample = 0;  ///< fresh samples every so many steps of the flow; 0: never
  bool step_moments = false;  ///< whether the loss also gives N (theory.md, section 5)

 private:
  std::optional<std::int64_t> test_samples_;
  std::string warning_;
};

}  // namespace headflow
