#include "headflow/run/output_file.hpp"

#include <algorithm>

namespace headflow {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point then) {
  return std::chrono::duration<double>(Clock::now() - then).count();
}

}  // namespace

OutputFile::OutputFile(const Communicator& comm, std::string path, double every,
                       std::map<std::string, std::string> attributes)
    : comm_(comm), path_(std::move(path)), every_(every), last_write_(Clock::now()) {
  content_.attributes = std::move(attributes);
}

void OutputFile::update() {
  const bool due = !written_ || seconds_since(last_write_) > std::max(every_, 50 * write_seconds_);
  if (comm_.max(due ? 1 : 0) != 0) write();
}

void OutputFile::write() {
  const auto begin = Clock::now();
  write_data_file(comm_, path_, content_);
  write_seconds_ = seconds_since(begin);
  last_write_ = Clock::now();
  written_ = true;
}

}  // namespace headflow
