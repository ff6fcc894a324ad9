#pragma once
#include <exception>

namespace headflow {

/// What a run asks of the computation that it controls.
enum class Request {
  none,
  checkpoint,  ///< save the state and go on
  stop         ///< save the state and end
};

/// Ends a computation before it is done. Thrown on all ranks alike.
struct Interrupt : std::exception {
  const char* what() const noexcept override { return "the run was asked to stop"; }
};

/// How a run stops a long computation or has its state saved. A computation that may take longer
/// than a second takes a Control and asks it at least once a second. Both members are collective.
class Control {
 public:
  virtual ~Control() = default;
  /// Asked between two steps. The computation answers Request::checkpoint and Request::stop by
  /// saving its state, and ends after the latter.
  virtual Request between_steps() { return Request::none; }
  /// Asked inside a step, where there is no state to save. Throws Interrupt when the run is to
  /// stop; the computation then saves the state before this step.
  virtual void within_step() {}

  /// A control that asks for nothing.
  static Control& none();
};

/// Asks a control within a step as often as the work needs: about every 2^24 multiplications, which
/// take a small part of a second. Ranks that report the same work ask equally often.
class PacedControl {
 public:
  static constexpr double between = 1 << 24;  ///< multiplications between two questions

  explicit PacedControl(Control& control) : control_(control) {}
  /// About so many multiplications were done. Collective. Throws Interrupt.
  void worked(double multiplications) {
    done_ += multiplications;
    if (done_ < between) return;
    done_ = 0;
    control_.within_step();
  }

 private:
  Control& control_;
  double done_ = 0;
};

}  // namespace headflow
