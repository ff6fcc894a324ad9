#pragma once
#include <optional>

#include "headflow/flow/flow.hpp"
#include "headflow/flow/output_times.hpp"
#include "sections/flow_series.hpp"
#include "sections/section.hpp"

namespace headflow {

/// [flow]: the order-parameter flow.
class FlowSection : public Section {
 public:
  const char* name() const override { return "flow"; }
  const char* help() const override {
    return "the order-parameter flow; runs also without this section if there is no [sgd], "
           "[fluctuations], [saddle], [train] or [bayes]";
  }
  bool optional() const override { return true; }
  void declare_keys(KeyVisitor& visitor) override;
  void prepare(Configuration& input) override;
  bool stands_alone() const override { return true; }
  bool takes_petsc_options() const override { return true; }
  void check_petsc_options() const override { TimeStepper::check(options.stepper); }
  std::vector<std::string> petsc_examples() const override {
    return {"-flow_ts_rk_type 3bs", "-flow_ts_monitor"};
  }
  void print_cost(CostReport& report) const override;
  void resume(Run& run) override;
  void run(Run& run) override;

  FlowOptions options;
  std::optional<double> end_time;  ///< as given, or completed

  /// What it has found; nothing where it has not run.
  const std::optional<FlowResult>& result() const { return result_; }
  /// The flow as it was written.
  Trajectory trajectory() const { return series_->trajectory(); }

 private:
  /// How far it has come, and what was `spent` on it.
  void print(const std::string& spent) const;
  /// An output, and what was known of the stages by then.
  struct Output {
    FlowRecord record{};
    Stages stages{};
    /// Whether it is one, of that time or an earlier one.
    bool at_or_before(double time) const;
  };
  void print(const Output& output, const Model& model, bool saddle_follows) const;

  OutputTimes times_;
  NumberOrWord learning_rate_noise_ = FlowOptions().kappa;
  std::optional<FlowResult> result_;
  std::optional<FlowSeries> series_;
};

}  // namespace headflow
