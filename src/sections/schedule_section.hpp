#pragma once
#include <optional>
#include <vector>

#include "headflow/model/schedule.hpp"
#include "sections/section.hpp"

namespace headflow {

/// [schedule]: how the learning rate changes with t.
class ScheduleSection : public Section {
 public:
  const char* name() const override { return "schedule"; }
  const char* help() const override {
    return "how the learning rate of [sgd] changes with t, and with it the noise (kappa) of [flow] "
           "and [fluctuations]; t is the sum of the learning rates of all steps";
  }
  bool optional() const override { return true; }
  void declare_keys(KeyVisitor& visitor) override;
  void prepare(Configuration& input) override;

  Schedule schedule;

 private:
  void require_keys_of_law() const;
  void require_steps();

  std::optional<std::vector<double>> times_, factors_;
  std::optional<double> scale_, exponent_, length_, floor_, warm_up_from_;
};

}  // namespace headflow
