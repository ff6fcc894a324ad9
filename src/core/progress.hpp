#pragma once
#include <chrono>
#include <string>

namespace headflow {

/// Progress of a run on stderr, by one rank: on a terminal a bar that is redrawn, in a log a plain
/// line every 30 s, or as many as the environment variable HEADFLOW_PROGRESS says.
class ProgressPrinter {
 public:
  /// Silent unless `active` (rank 0).
  ProgressPrinter(bool active, double end_time);
  ~ProgressPrinter();
  ProgressPrinter(const ProgressPrinter&) = delete;
  ProgressPrinter& operator=(const ProgressPrinter&) = delete;

  /// `time` of end_time is reached, at `loss`, after `steps` steps.
  void update(double time, double loss, long long steps);

 private:
  using Clock = std::chrono::steady_clock;
  bool active_;
  bool terminal_;
  bool drawn_ = false;
  double every_;  // seconds
  double end_time_;
  Clock::time_point begin_ = Clock::now();
  Clock::time_point last_ = begin_;
};

/// Wall time as 1:02:03, or in years where it is long.
std::string clock_text(double seconds);

/// A number with its standard error, "1.50 +- 0.01"; where that is NaN it says that one replicate
/// of the samples has none.
std::string with_error(double x, double error, const char* format);

/// A number as fmt writes it, or a dash for NaN.
std::string number_or_dash(double x, const char* format);

}  // namespace headflow
