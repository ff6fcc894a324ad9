#pragma once
#include <optional>

#include "core/progress.hpp"
#include "headflow/flow/output_times.hpp"
#include "headflow/sgd/run_sgd.hpp"
#include "sections/section.hpp"
#include "sections/sgd_series.hpp"

namespace headflow {

/// [sgd]: stochastic gradient descent at finite D.
class SgdSection : public Section {
 public:
  const char* name() const override { return "sgd"; }
  const char* help() const override {
    return "stochastic gradient descent on fresh sequences in D dimensions";
  }
  bool optional() const override { return true; }
  void declare_keys(KeyVisitor& visitor) override;
  /// Also completes the end time of [flow].
  void prepare(Configuration& input) override;
  bool stands_alone() const override { return true; }
  std::vector<std::string> files(const std::string& output) const override;
  void require_sweepable() const override;
  void print_cost(CostReport& report) const override;
  double time_of(const Snapshot& state) const override;
  void resume(Run& run) override;
  void run(Run& run) override;

  const SgdProblem& problem() const { return problem_; }
  std::int64_t dimension() const { return problem_.dimension; }
  /// The learning-rate noise that this `section` asks for: the number, or where it is a word kappa
  /// of [sgd]. Throws InputError where there is none.
  double kappa_for(const char* section, const NumberOrWord& learning_rate_noise) const;
  /// Times of the outputs; empty where the section is not given.
  std::vector<double> output_times() const;
  /// Adds those until `end` to `times`, in order, so that what is computed there can be compared;
  /// times that differ by rounding alone are one.
  void add_output_times(std::vector<double>& times, double end) const;
  /// The time to which another section computes that ends at `end`: that of SGD's last step, where
  /// this is later by rounding alone, so that both have an output at the same time.
  double end_beside(double end) const;
  /// Whether each replica has a start of its own.
  bool own_starts() const { return own_starts_; }

  /// Chooses the engine. Throws when what is asked for does not go with it, or D is too small.
  void resolve_engine(const Shape& shape);

 private:
  std::int64_t resolve_end_times(std::optional<double>& end_of_flow);
  void resolve_outputs(std::int64_t steps);
  void add_memory(CostReport& report, std::int64_t replicas) const;
  /// What may bring the flow nearer to SGD, a line each.
  std::string advice(Run& run) const;
  void write_weights(Run& run, const SgdRecord& record, const SgdWeights& weights) const;
  void print(const SgdRecord& last, const SgdResult& result, const Reached& begin,
             double seconds) const;

  SgdProblem problem_;
  SgdOptions options_;
  OutputTimes times_{.outputs = 100};
  std::optional<double> end_time_;
  std::optional<std::int64_t> steps_;
  bool own_starts_ = false;
  bool save_weights_ = false;
  std::optional<std::vector<double>> weights_times_;
  double split_threshold_ = 0;
  std::optional<SgdSeries> series_;
  std::optional<SgdSource> source_;
};

}  // namespace headflow
