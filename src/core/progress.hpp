#pragma once
#include <fmt/format.h>

#include <chrono>
#include <string>

namespace headflow {

/// Progress of a run on stderr, by one rank: on a terminal a bar that is redrawn, in a log a plain
/// line every 30 s, or as many as the environment variable HEADFLOW_PROGRESS says.
class ProgressPrinter {
 public:
  /// Silent unless `active` (rank 0). `what` is computed until `end_time`; `quantity` is the number
  /// that is shown.
  ProgressPrinter(bool active, std::string what, double end_time, std::string quantity = "loss");
  ~ProgressPrinter();
  ProgressPrinter(const ProgressPrinter&) = delete;
  ProgressPrinter& operator=(const ProgressPrinter&) = delete;

  /// `time` of end_time is reached after `steps` steps, where the quantity is `value`.
  void update(double time, double value, long long steps);

 private:
  using Clock = std::chrono::steady_clock;
  bool active_;
  bool terminal_;
  bool drawn_ = false;
  double every_;  // seconds
  std::string what_, quantity_;
  double end_time_;
  Clock::time_point begin_ = Clock::now();
  Clock::time_point last_ = begin_;
};

/// Wall time as 1:02:03, or in years where it is long.
std::string clock_text(double seconds);

/// A number with its standard error, "1.50 +- 0.01"; where that is NaN it says that one replicate
/// of the samples has none.
std::string with_error(double x, double error, const char* format);

/// "1 step", "2 steps".
template <class Number>
std::string with_noun(Number count, const char* noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

/// "t = 12.5", or "not reached" for NaN.
std::string time_or_never(double t);

/// A number as fmt writes it, or a dash for NaN.
std::string number_or_dash(double x, const char* format);

}  // namespace headflow
