#include "output/output_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "core/paths.hpp"
#include "headflow/core/error.hpp"

namespace headflow {

OutputFile::OutputFile(const Communicator& comm, std::string path, double every,
                       std::map<std::string, std::string> attributes)
    : comm_(comm), path_(std::move(path)), every_(every) {
  content_.attributes = std::move(attributes);
}

bool update_is_due(double seconds, double every, double write_seconds) {
  return every == 0 || seconds > std::max(every, 50 * write_seconds);
}

void OutputFile::update() {
  const bool due = !written_ || update_is_due(since_write_.seconds(), every_, write_seconds_);
  if (comm_.any(due)) write();
}

void OutputFile::write() {
  const Stopwatch watch;
  write_data_file(comm_, path_, content_);
  write_seconds_ = watch.seconds();
  since_write_.restart();
  written_ = true;
}

namespace {

namespace fs = std::filesystem;

/// Throws InputError unless a regular file can be made or replaced at the end of the links of
/// `name`, which is not the input.
void require_room(const std::string& name, const std::string& input) {
  const std::string path = follow_links(name);
  const auto refuse = [&](const std::string& why) {
    throw InputError(fmt::format("output {}{}", path, why));
  };
  const fs::path parent = fs::path(path).parent_path();
  const std::string folder = parent.empty() ? "." : parent.string();
  std::error_code error;
  if (!fs::is_directory(folder, error))
    refuse(fmt::format(": the folder {} {}", folder,
                       error && error != std::errc::no_such_file_or_directory
                           ? "cannot be used: " + error.message()
                           : "does not exist"));
  if (::access(folder.c_str(), W_OK) != 0)
    refuse(fmt::format(": the folder {} is not writable", folder));
  for (const auto& own : {path, part_of_file(path)})
    if (const std::string obstacle = obstacle_at(own); !obstacle.empty())
      throw InputError(fmt::format("output {} {}", own, obstacle));
  if (fs::is_symlink(part_of_file(path), error))
    throw InputError(fmt::format("output {} is a symbolic link", part_of_file(path)));
  if (fs::equivalent(path, input, error)) refuse(" is the input file");
  // What may be read only is replaced by a rename; what not even root may change is not.
  const int file = ::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
  if (file >= 0) ::close(file);
  if (file < 0 && (errno == EPERM || errno == EROFS)) refuse(" must not be changed");
}

/// Throws InputError unless files as long as the name of the temporary file `part` can be made and
/// removed where that is.
void try_name(const std::string& part) {
  std::string path = part;
  path.replace(path.size() - 5, 5, ".test");
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0 && errno == EEXIST) return;
  if (file >= 0) ::close(file);
  if (file < 0 || ::unlink(path.c_str()) != 0)
    throw InputError(
        fmt::format("{} could not be made and replaced: {}", part, std::strerror(errno)));
}

}  // namespace

void require_room(const Communicator& comm, const std::vector<std::string>& files,
                  const std::string& input) {
  comm.on_root([&] {
    if (is_companion(files[0]))
      throw InputError(fmt::format(
          "output {}: names that end in .part, .stop, .lock, .checkpoint-N or .weights-N are those "
          "of files beside other outputs",
          files[0]));
    std::string longest;
    for (const auto& file : files) {
      require_room(file, input);
      const std::string part = part_of_file(follow_links(file));
      if (part.size() > longest.size()) longest = part;
    }
    try_name(longest);
  });
}

void require_new(const Communicator& comm, const std::string& path) {
  comm.on_root([&] {
    std::error_code ignored;
    if (fs::exists(path, ignored))
      throw InputError(
          fmt::format("output {} exists; use --force to replace it, or take another name", path));
  });
}

}  // namespace headflow
