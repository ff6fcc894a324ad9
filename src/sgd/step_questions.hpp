#pragma once
#include <cstdint>

#include "headflow/core/control.hpp"

namespace headflow {

/// Asks a control within the steps of SGD's engines, where one takes long: every rank equally often
/// in each step of its runs, however many of the step's sequences it has, and for each of its runs,
/// however many these are.
class StepQuestions {
 public:
  /// Asks for nothing.
  StepQuestions() = default;
  /// `each` questions in a step whose share on the busiest rank is `most` sequences.
  StepQuestions(Control& control, std::int64_t each, std::int64_t most)
      : control_(control), each_(each), most_(most) {}

  /// So many more sequences of a step are done. Throws Interrupt.
  void worked(std::int64_t sequences) {
    done_ += sequences;
    while (asked_ < each_ && done_ * each_ >= (asked_ + 1) * most_) ask();
  }
  /// The step has no more sequences on this rank. To be called before ranks add up what they have.
  void end_step() {
    while (asked_ < each_) ask();
    ++steps_;
    asked_ = done_ = 0;
  }
  /// The ranks with the most runs have made so many steps.
  void finish(std::int64_t steps) {
    while (each_ > 0 && steps_ < steps) end_step();
  }

 private:
  void ask() {
    ++asked_;
    control_.within_step();
  }

  Control& control_ = Control::none();
  std::int64_t each_ = 0, most_ = 1;
  std::int64_t steps_ = 0, asked_ = 0, done_ = 0;
};

}  // namespace headflow
