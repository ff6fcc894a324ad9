#pragma once
#include "sections/section.hpp"

namespace headflow {

/// [prune]: greedy removal of heads.
class PruneSection : public Section {
 public:
  const char* name() const override { return "prune"; }
  const char* help() const override {
    return "greedy removal of the heads of [train], or of the end of [flow]; no keys";
  }
  bool optional() const override { return true; }
  void prepare(Configuration& input) override;
  void print_cost(CostReport& report) const override;
  void run(Run& run) override;
};

}  // namespace headflow
