#include "core/progress.hpp"

#include <fmt/format.h>

#include <unistd.h>
#include <cmath>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace headflow {

std::string clock_text(double seconds) {
  constexpr double year = 365.25 * 24 * 3600;
  if (!(seconds < 10 * year)) return fmt::format("{:.3g} years", seconds / year);
  const auto whole = static_cast<long long>(std::max(seconds, 0.0));
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

namespace {

/// Seconds between two lines. What is no positive number counts as not given.
double interval(bool terminal) {
  if (terminal) return 0.1;
  const char* given = std::getenv("HEADFLOW_PROGRESS");
  const double seconds = given != nullptr ? std::strtod(given, nullptr) : 0;
  return seconds > 0 ? seconds : 30;
}

}  // namespace

Pace pace(const Reached& begin, const Reached& now, double end_time, double seconds) {
  const double done = std::clamp((now.time - begin.time) / (end_time - begin.time), 1e-9, 1.0);
  return {static_cast<double>(now.steps - begin.steps) / seconds, seconds * (1 - done) / done};
}

Pace RecentPace::after(const Reached& now, double seconds) {
  if (seconds >= 2 * later_.seconds) from_ = std::exchange(later_, {now, seconds});
  return pace(from_.at, now, end_time_, seconds - from_.seconds);
}

ProgressLine::ProgressLine(bool active)
    : active_(active), terminal_(isatty(STDERR_FILENO) == 1), every_(interval(terminal_)) {}

ProgressLine::~ProgressLine() {
  if (drawn_ && terminal_) fmt::print(stderr, "\n");
}

bool ProgressLine::due() {
  if (!active_) return false;
  const auto now = Clock::now();
  if (std::chrono::duration<double>(now - last_).count() < every_) return false;
  last_ = now;
  return true;
}

double ProgressLine::seconds() const {
  return std::chrono::duration<double>(last_ - begun_).count();
}

void ProgressLine::show(double part, const std::string& text) {
  drawn_ = true;
  if (terminal_) {
    const auto filled = static_cast<std::size_t>(30 * std::clamp(part, 0.0, 1.0));
    fmt::print(stderr, "\r[{}{}] {}\x1b[K", std::string(filled, '#'), std::string(30 - filled, '.'),
               text);
  } else {
    fmt::print(stderr, "headflow: {}\n", text);
  }
  std::fflush(stderr);
}

ProgressPrinter::ProgressPrinter(bool active, std::string what, const Reached& begin,
                                 double end_time, std::string quantity)
    : line_(active),
      what_(std::move(what)),
      quantity_(std::move(quantity)),
      begin_(begin),
      end_time_(end_time),
      pace_(begin, end_time) {}

void ProgressPrinter::update(const Reached& at, double value) {
  if (!line_.due()) return;
  const auto [rate, left] = pace_.after(at, line_.seconds());
  const bool known = at.time - begin_.time >= 0.02 * (end_time_ - begin_.time);
  line_.show(
      at.time / end_time_,
      fmt::format(
          "{}: t = {:.4g} of {:.4g}, {} {:.6f}, {}{}", what_, at.time, end_time_, quantity_, value,
          rate > 0 ? fmt::format(
                         fmt::runtime(rate < 9.95 ? "{:.2g} steps/s, " : "{:.0f} steps/s, "), rate)
                   : "",
          known ? "at this pace " + clock_text(left) + " left" : "time left not yet known"));
}

void MemberProgress::update(std::size_t members) {
  ++done_;
  if (done_ == members || !line_.due()) return;
  const auto done = static_cast<double>(done_), all = static_cast<double>(members);
  line_.show(done / all,
             fmt::format("sweep: {} of {}, {} left", done_, with_noun(members, "member"),
                         clock_text(line_.seconds() * (all - done) / done)));
}

std::string error_text(double error) {
  if (!(error >= 0.95 && error < 1e15)) return number_or_dash(error, "{:.1g}");
  const double digit = std::pow(10, std::floor(std::log10(error / 0.95)));
  return fmt::format("{:.0f}", std::round(error / digit) * digit);
}

std::string with_error(double x, double error, const char* format) {
  const std::string value = fmt::format(fmt::runtime(format), x);
  return std::isnan(error) ? value + " (no error: one replicate)"
                           : fmt::format("{} +- {}", value, error_text(error));
}

std::string steps_and_seconds(const Reached& begin, long long steps, double seconds) {
  const std::string since = begin.steps == 0
                                ? ""
                                : fmt::format("; since it went on at t = {:g}: {}", begin.time,
                                              with_noun(steps - begin.steps, "step"));
  return fmt::format("{}, {:.4g} s", since, seconds);
}

std::string time_or_never(double t) {
  return std::isnan(t) ? "not reached" : fmt::format("t = {:.4g}", t);
}

std::string number_or_dash(double x, const char* format) {
  return std::isnan(x) ? "-" : fmt::format(fmt::runtime(format), x);
}

}  // namespace headflow
