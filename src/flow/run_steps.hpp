#pragma once
#include "headflow/core/control.hpp"
#include "headflow/core/snapshot.hpp"

namespace headflow {

enum class Ending {
  finished,
  stopped,     ///< after a step, as the control asked
  interrupted  ///< inside a step, which is as if it had not begun
};

/// The frame of a computation in steps: it begins, or goes on from a snapshot, and steps until
/// last(); finish() does what is left. It saves its state where the control asks for that, and
/// before the last step where it ends, from where a later end can go on, or is interrupted.
template <class Steps>
Ending run_steps(Steps& steps, Control& control, const Snapshot& from) {
  bool begun = false;  // whether there is a state to save
  try {
    if (from.empty())
      steps.begin();
    else
      steps.restore(from);
    begun = true;
    while (!steps.last()) {
      steps.step();
      const Request request = control.between_steps();
      if (steps.last() || request == Request::none) continue;
      steps.save_now();
      if (request == Request::stop) return Ending::stopped;
    }
    steps.save_before_step();
    steps.finish();
    return Ending::finished;
  } catch (const Interrupt&) {
    if (begun) steps.save_before_step();
    return Ending::interrupted;
  }
}

}  // namespace headflow
