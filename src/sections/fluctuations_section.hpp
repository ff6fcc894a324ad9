#pragma once
#include <optional>
#include <string>

#include "headflow/flow/fluctuations.hpp"
#include "headflow/flow/output_times.hpp"
#include "sections/fluctuations_series.hpp"
#include "sections/section.hpp"

namespace headflow {

/// [fluctuations]: how far runs of SGD scatter around the flow, without running SGD. Group
/// `fluctuations`.
class FluctuationsSection : public Section {
 public:
  const char* name() const override { return "fluctuations"; }
  const char* help() const override {
    return "the standard deviations of SGD at finite D around the flow with learning-rate noise, "
           "from their equation";
  }
  bool optional() const override { return true; }
  void declare_keys(KeyVisitor& visitor) override;
  void prepare(Configuration& input) override;
  bool stands_alone() const override { return true; }
  bool takes_petsc_options() const override { return true; }
  void check_petsc_options() const override { TimeStepper::check(options_.stepper()); }
  void print_cost(CostReport& report) const override;
  void resume(Run& run) override;
  void run(Run& run) override;

 private:
  void complete_from_sgd(Configuration& input);
  void require_size(const Shape& shape, std::size_t entries) const;
  const Parameters& start(const Run& run) const;
  void print(const FluctuationsRecord& last, const Model& model) const;

  FluctuationsOptions options_;
  OutputTimes times_;
  std::optional<double> end_time_, dimension_;
  NumberOrWord learning_rate_noise_ = "from-sgd";
  std::string starts_ = "from-sgd";
  bool covariance_ = false;
  std::optional<FluctuationsSeries> series_;
};

}  // namespace headflow
