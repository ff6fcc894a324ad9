#include "output/output_file.hpp"

#include <algorithm>

namespace headflow {
OutputFile::OutputFile(const Communicator& comm, std::string path, double every,
                       std::map<std::string, std::string> attributes)
    : comm_(comm), path_(std::move(path)), every_(every) {
  content_.attributes = std::move(attributes);
}

void OutputFile::update() {
  const bool due = !written_ || since_write_.seconds() > std::max(every_, 50 * write_seconds_);
  if (comm_.max(due ? 1 : 0) != 0) write();
}

void OutputFile::write() {
  const Stopwatch watch;
  write_data_file(comm_, path_, content_);
  write_seconds_ = watch.seconds();
  since_write_.restart();
  written_ = true;
}

}  // namespace headflow
