#pragma once
#include "headflow/train/bayes_risk.hpp"
#include "sections/section.hpp"

namespace headflow {

/// [bayes]: the Bayes risk.
class BayesSection : public Section {
 public:
  const char* name() const override { return "bayes"; }
  const char* help() const override { return "the Bayes risk"; }
  bool optional() const override { return true; }
  void declare_keys(KeyVisitor& visitor) override { options_.declare_keys(visitor); }
  void prepare(Configuration& input) override;
  bool stands_alone() const override { return true; }
  void print_cost(CostReport& report) const override;
  void run(Run& run) override;

 private:
  BayesOptions options_;
};

}  // namespace headflow
