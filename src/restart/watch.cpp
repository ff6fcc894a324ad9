#include "restart/watch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <sstream>

#include "headflow/core/error.hpp"
#include "core/signals.hpp"
#include "headflow/flow/flow.hpp"

namespace headflow {
namespace {

double seconds_between(auto from, auto to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

Watch::Watch(const Communicator& comm, Limits limits) : comm_(comm), limits_(std::move(limits)) {}

/// On rank 0. The margin covers what may lie between this poll and the end of the last checkpoint.
bool Watch::must_stop() {
  const auto now = Clock::now();
  longest_gap_ = std::max(longest_gap_, seconds_between(last_poll_, now));
  last_poll_ = now;
  if (!reason_.empty()) return true;
  const double margin = 1 + 2 * longest_gap_ + 3 * save_seconds_;
  if (stop_signalled())
    reason_ = "signal";
  else if (seconds_between(begin_, now) + margin > limits_.wall_seconds)
    reason_ = "wall time";
  if (seconds_between(last_look_, now) > 0.5) {
    last_look_ = now;
    std::error_code ignored;
    if (std::filesystem::remove(limits_.stop_file, ignored)) reason_ = "STOP file";
  }
  return !reason_.empty();
}

Request Watch::poll() {
  std::int64_t request = 0;
  if (comm_.root()) {
    if (must_stop())
      request = 2;
    else if (take_checkpoint_signal() ||
             seconds_between(last_save_, Clock::now()) > limits_.checkpoint_every)
      request = 1;
  }
  request = comm_.max(request);
  return request == 2 ? Request::stop : request == 1 ? Request::checkpoint : Request::none;
}

void Watch::interrupt() {
  if (comm_.max(comm_.root() && must_stop() ? 1 : 0) != 0) throw Interrupt{};
}

void Watch::saved(double seconds) {
  save_seconds_ = std::max(save_seconds_, seconds);
  last_save_ = Clock::now();
}

double wall_seconds_of(const std::string& text) {
  if (text.empty()) return std::numeric_limits<double>::infinity();
  if (text == "auto") {
    const char* end = std::getenv("SLURM_JOB_END_TIME");
    if (end == nullptr) return std::numeric_limits<double>::infinity();
    return std::max(0.0, std::strtod(end, nullptr) - static_cast<double>(std::time(nullptr)));
  }
  std::istringstream parts(text);
  std::string part;
  double seconds = 0;
  int count = 0;
  for (; std::getline(parts, part, ':'); ++count) {
    char* end = nullptr;
    const double number = std::strtod(part.c_str(), &end);
    if (part.empty() || *end != '\0' || !(number >= 0) || !std::isfinite(number)) count = 99;
    seconds = 60 * seconds + number;
  }
  if (count < 1 || count > 3 || text.back() == ':')
    throw InputError(
        fmt::format("--max-walltime {}: write hh:mm:ss, mm:ss, seconds or auto", text));
  return seconds;
}

}  // namespace headflow
