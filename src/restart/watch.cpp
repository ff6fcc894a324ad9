#include "restart/watch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>
#include <thread>

#include "core/signals.hpp"
#include "headflow/core/error.hpp"

namespace headflow {

Pause::Pause() {
  const char* text = std::getenv("HEADFLOW_PAUSE");
  if (text == nullptr) return;
  char* rest = nullptr;
  every_ = std::strtoll(text, &rest, 10);
  if (every_ < 1 || *rest != ':' || rest[1] == '\0')
    throw InputError(
        fmt::format("HEADFLOW_PAUSE = \"{}\": write a number above 0, a colon and a file", text));
  gate_ = rest + 1;
}

bool Pause::hold() {
  std::error_code ignored;
  if (every_ == 0 || ++asked_ % every_ != 0 || !std::filesystem::exists(gate_, ignored))
    return false;
  const std::string here = gate_ + ".paused";
  std::ofstream(here + ".part") << asked_ << '\n';
  std::filesystem::rename(here + ".part", here, ignored);  // nobody sees it without its number
  fmt::print(stderr, "headflow: holding until {} or {} is gone, or a signal comes\n", here, gate_);
  while (std::filesystem::exists(gate_, ignored) && std::filesystem::exists(here, ignored) &&
         !signal_waits())
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  std::filesystem::remove(here, ignored);
  return true;
}

/// On every rank; wall time and the stop file count on rank 0 alone. The margin covers what may lie
/// between this question and the end of the last checkpoint.
bool Watch::must_stop() {
  longest_gap_ = std::max(longest_gap_, since_question_.seconds());
  since_question_.restart();
  const bool paused = comm_.root() && pause_.hold();
  if (limits_.lock != nullptr) limits_.lock->require_held();
  if (!reason_.empty()) return true;
  if (stop_signalled()) reason_ = "signal";
  if (!comm_.root()) return !reason_.empty();
  const double margin = 1 + 2 * longest_gap_ + 3 * save_seconds_;
  if (reason_.empty() && limits_.begin.seconds() + margin > limits_.wall_seconds)
    reason_ = "wall time";
  if (paused || since_look_.seconds() > 0.5) {
    since_look_.restart();
    std::error_code ignored;
    if (std::filesystem::remove(limits_.stop_file, ignored)) reason_ = "stop file";
    if (reason_.empty() && limits_.stopped_elsewhere && limits_.stopped_elsewhere())
      reason_ = "other ranks";
  }
  return !reason_.empty();
}

bool Watch::asked_together() {
  const bool stop = must_stop();
  if (pause_.holds()) comm_.sleeping_barrier();
  return stop;
}

Request Watch::between_steps() {
  Request request = Request::none;
  if (asked_together())
    request = Request::stop;
  else if (take_checkpoint_signal() ||
           (comm_.root() && since_save_.seconds() > limits_.checkpoint_every))
    request = Request::checkpoint;
  request = static_cast<Request>(comm_.max(static_cast<std::int64_t>(request)));
  if (request == Request::stop && reason_.empty()) reason_ = "signal";  // on another rank
  return request;
}

void Watch::within_step() {
  if (!comm_.any(asked_together())) return;
  if (reason_.empty()) reason_ = "signal";
  throw Interrupt{};
}

void Watch::saved(double seconds) {
  save_seconds_ = std::max(save_seconds_, seconds);
  since_save_.restart();
}

double wall_seconds_of(const std::string& text, std::string& warning) {
  constexpr double unlimited = std::numeric_limits<double>::infinity();
  if (text.empty()) return unlimited;
  if (text == "auto") {
    const char* end = std::getenv("SLURM_JOB_END_TIME");
    if (end == nullptr) return unlimited;
    char* rest = nullptr;
    const double seconds = std::strtod(end, &rest) - static_cast<double>(std::time(nullptr));
    if (rest != end && *rest == '\0' && seconds > 0) return seconds;
    warning = fmt::format(
        "SLURM_JOB_END_TIME = \"{}\" is not in the future: --max-walltime auto sets no limit", end);
    return unlimited;
  }
  constexpr double most = 1e9;
  std::istringstream parts(text);
  double seconds = 0;
  int count = 0;
  bool good = text.back() != ':' && text.find_first_not_of("0123456789.:") == std::string::npos;
  for (std::string part; std::getline(parts, part, ':'); ++count) {
    char* end = nullptr;
    const double number = std::strtod(part.c_str(), &end);
    good = good && !part.empty() && *end == '\0' && (count == 0 || number < 60);
    seconds = 60 * seconds + number;
  }
  if (!good || count > 3 || !(seconds > 0 && seconds <= most))
    throw InputError(fmt::format(
        "--max-walltime {}: write hh:mm:ss, mm:ss, seconds (above 0, at most 1e9) or auto", text));
  return seconds;
}

}  // namespace headflow
