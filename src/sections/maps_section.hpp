#pragma once
#include "headflow/train/attention_maps.hpp"
#include "sections/section.hpp"

namespace headflow {

/// [maps]: attention of trained heads on some sequences.
class MapsSection : public Section {
 public:
  const char* name() const override { return "maps"; }
  const char* help() const override {
    return "attention of the best heads of [train], or of the end of [flow]";
  }
  bool optional() const override { return true; }
  void declare_keys(KeyVisitor& visitor) override { options_.declare_keys(visitor); }
  void prepare(Configuration& input) override;
  void print_cost(CostReport& report) const override;
  void run(Run& run) override;

 private:
  MapsOptions options_;
};

}  // namespace headflow
