#pragma once
#include <fmt/format.h>

#include <chrono>
#include <string>

namespace headflow {

/// How far a computation is.
struct Reached {
  double time = 0;
  long long steps = 0;
};

struct Pace {
  double steps_per_second = 0;
  double seconds_left = 0;
};
/// That of a computation which has come from `begin` to `now` in so many seconds and goes on to
/// `end_time` as fast as in these.
Pace pace(const Reached& begin, const Reached& now, double end_time, double seconds);

/// The pace over the latter part of a computation, between half and three quarters of its seconds:
/// steps of the flow grow.
class RecentPace {
 public:
  RecentPace(const Reached& begin, double end_time)
      : end_time_(end_time), from_{begin, 0}, later_{begin, 0} {}
  /// After so many seconds since the beginning, which do not fall from call to call.
  Pace after(const Reached& now, double seconds);

 private:
  struct Moment {
    Reached at;
    double seconds;
  };
  double end_time_;
  Moment from_, later_;
};

/// Words on stderr of how far something is, by one rank: on a terminal a bar that is redrawn, in a
/// log a plain line every 30 s, or as many as the environment variable HEADFLOW_PROGRESS says.
class ProgressLine {
 public:
  /// Silent unless `active` (rank 0).
  explicit ProgressLine(bool active);
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  /// Whether it is time for the next line, which then is to be shown.
  bool due();
  /// From the beginning until that was due.
  double seconds() const;
  /// The next line, where so large a part is done.
  void show(double part, const std::string& text);

 private:
  using Clock = std::chrono::steady_clock;
  bool active_;
  bool terminal_;
  bool drawn_ = false;
  double every_;  // seconds
  Clock::time_point begun_ = Clock::now();
  Clock::time_point last_ = begun_;
};

/// Progress of a computation in steps of time. The time left is not known before a fiftieth of it.
class ProgressPrinter {
 public:
  /// Silent unless `active` (rank 0). `what` is computed from `begin`, where it went on, until
  /// `end_time`; `quantity` is the number that is shown.
  ProgressPrinter(bool active, std::string what, const Reached& begin, double end_time,
                  std::string quantity = "loss");

  /// That is reached, where the quantity is `value`.
  void update(const Reached& at, double value);

 private:
  ProgressLine line_;
  std::string what_, quantity_;
  Reached begin_;
  double end_time_;
  RecentPace pace_;
};

/// Progress of a sweep, of so many members, on rank 0.
class MemberProgress {
 public:
  explicit MemberProgress(bool active) : line_(active) {}

  /// One more of `members` is finished.
  void update(std::size_t members);

 private:
  ProgressLine line_;
  std::size_t done_ = 0;
};

/// Wall time as 1:02:03, or in years where it is long.
std::string clock_text(double seconds);

/// A standard error with one digit, "0.01", "20", or a dash for NaN.
std::string error_text(double error);

/// A number with its standard error, "1.50 +- 0.01"; where that is NaN it says that one replicate
/// of the samples has none.
std::string with_error(double x, double error, const char* format);

/// "1 step", "2 steps".
template <class Number>
std::string with_noun(Number count, const char* noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

/// ", 3.2 s"; for a computation that went on "; since it went on at t = 12.5: 8 steps, 3.2 s".
std::string steps_and_seconds(const Reached& begin, long long steps, double seconds);

/// "t = 12.5", or "not reached" for NaN.
std::string time_or_never(double t);

/// A number as fmt writes it, or a dash for NaN.
std::string number_or_dash(double x, const char* format);

}  // namespace headflow
