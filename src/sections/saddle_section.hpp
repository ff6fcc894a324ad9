#pragma once
#include <optional>
#include <string>
#include <vector>

#include "headflow/flow/flow.hpp"
#include "headflow/saddle/linear_growth.hpp"
#include "headflow/saddle/prediction.hpp"
#include "headflow/saddle/saddle.hpp"
#include "sections/section.hpp"

namespace headflow {

/// What [saddle] finds besides the plateaus.
struct SaddleResult {
  Saddle saddle;
  LinearGrowth growth;
  Prediction prediction;
  Prediction errors;           ///< its standard errors, from replicates of the samples
  std::vector<double> times;   ///< at which the spread is predicted
  std::vector<double> spread;  ///< (time, feature): predicted spread of m over heads, below 1
};

/// [saddle]: why and when heads split. Groups `saddle` (the unspecialized saddle, growth modes
/// there, predictions for this start and against D) and, after a flow, `plateaus` (the Hessian
/// wherever it lingered).
class SaddleSection : public Section {
 public:
  const char* name() const override { return "saddle"; }
  const char* help() const override {
    return "the unspecialized saddle and its Hessian, how fast and when heads split there, and the "
           "Hessian at every plateau of [flow]";
  }
  bool optional() const override { return true; }
  void declare_keys(KeyVisitor& visitor) override;
  void prepare(Configuration& input) override;
  bool stands_alone() const override { return true; }
  bool takes_petsc_options() const override { return true; }
  void check_petsc_options() const override { TimeStepper::check(options_.stepper()); }
  void print_cost(CostReport& report) const override;
  void run(Run& run) override;

 private:
  double kappa(Configuration& input) const;
  void require_training(const Configuration& input) const;
  void require_size(const Configuration& input) const;
  SplitQuestion question(const Run& run, const UnspecializedManifold& manifold) const;
  LinearGrowth follow_manifold_saving(Run& run, const UnspecializedManifold& manifold,
                                      Snapshot& state) const;
  Prediction prediction_errors(Run& run, const UnspecializedManifold& manifold,
                               const SplitQuestion& question, Prediction prediction,
                               Snapshot state) const;
  void add_group(Run& run, const SaddleResult& result) const;
  bool ends_early(const Run& run, const SaddleResult& result) const;
  void print(Run& run, const SaddleResult& result) const;
  void print_law(const SaddleResult& result) const;
  void run_plateaus(Run& run) const;

  LinearGrowthOptions options_;
  std::optional<double> end_time_;
  std::optional<std::vector<double>> dimensions_;
  NumberOrWord learning_rate_noise_ = "from-flow";
  std::string starts_ = "own";
  double split_threshold_ = 0;
};

}  // namespace headflow
