#include "output/output_file.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "headflow/core/error.hpp"

namespace headflow {

OutputFile::OutputFile(const Communicator& comm, std::string path, double every,
                       std::map<std::string, std::string> attributes)
    : comm_(comm), path_(std::move(path)), every_(every) {
  content_.attributes = std::move(attributes);
}

void OutputFile::update() {
  const bool due = !written_ || since_write_.seconds() > std::max(every_, 50 * write_seconds_);
  if (comm_.any(due)) write();
}

void OutputFile::write() {
  const Stopwatch watch;
  write_data_file(comm_, path_, content_);
  write_seconds_ = watch.seconds();
  since_write_.restart();
  written_ = true;
}

void require_writable_output(const Communicator& comm, const std::string& path,
                             const std::string& input, bool force) {
  namespace fs = std::filesystem;
  comm.on_root([&] {
    const fs::path folder =
        fs::path(path).parent_path().empty() ? "." : fs::path(path).parent_path();
    if (!fs::is_directory(folder))
      throw InputError(
          fmt::format("output {}: the folder {} does not exist", path, folder.string()));
    if (::access(folder.c_str(), W_OK) != 0)
      throw InputError(
          fmt::format("output {}: the folder {} is not writable", path, folder.string()));
    if (fs::is_directory(path)) throw InputError(fmt::format("output {} is a folder", path));
    if (fs::exists(path) && !fs::is_regular_file(path))
      throw InputError(fmt::format("output {} is no regular file", path));
    if (fs::exists(path) && fs::equivalent(path, input))
      throw InputError(fmt::format("output {} is the input file", path));
    if (fs::exists(path) && !force)
      throw InputError(fmt::format(
          "output {} exists; use --force to replace it or --output for another name", path));
  });
}

std::string stop_file(const std::string& output) {
  return std::filesystem::path(output).replace_filename("STOP");
}

}  // namespace headflow
