#include "restart/output_lock.hpp"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <sstream>
#include <stop_token>
#include <system_error>
#include <utility>

#include "core/paths.hpp"
#include "core/signals.hpp"
#include "core/stopwatch.hpp"
#include "headflow/core/control.hpp"
#include "headflow/core/error.hpp"

namespace headflow {
namespace {

constexpr const char* first_line = "headflow lock 1";

std::string first_line_of(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

/// The boot of this machine and the namespace of its process ids.
std::string this_place() {
  std::error_code ignored;
  return first_line_of("/proc/sys/kernel/random/boot_id") + "/" +
         std::filesystem::read_symlink("/proc/self/ns/pid", ignored).string();
}

/// When a process of this place began, in ticks since the boot: with its number it is one process
/// for ever. Empty where there is no such process.
std::string birth_of(const std::string& process) {
  const std::string line = first_line_of("/proc/" + process + "/stat");
  std::istringstream words(line.substr(std::min(line.size(), line.rfind(')') + 1)));
  std::string word;
  for (int field = 3; field <= 22; ++field) words >> word;
  return words ? word : "";
}

std::string host() {
  char name[256] = "";
  gethostname(name, sizeof name - 1);
  return name;
}

/// "key value" on each line after the first.
std::map<std::string, std::string> fields_of(const std::string& text) {
  std::map<std::string, std::string> fields;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    if (const auto space = line.find(' '); space != std::string::npos)
      fields[line.substr(0, space)] = line.substr(space + 1);
  return fields;
}

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(4096, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text;
}

/// Whether an open file is still the one of that name.
bool stands_at(int file, const std::string& path) {
  struct stat mine = {}, there = {};
  return ::fstat(file, &mine) == 0 && ::lstat(path.c_str(), &there) == 0 &&
         mine.st_ino == there.st_ino && mine.st_dev == there.st_dev;
}

void pause(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

[[noreturn]] void refuse(const std::string& output, const std::string& text) {
  auto fields = fields_of(text);
  if (fields.empty())
    throw InputError(fmt::format("output {} is held by another run that begins just now", output));
  const std::string job = fields["job"];
  throw InputError(fmt::format(
      "output {} is held by a run on host {} (process {}, started {}{}): let it end, stop it, or "
      "choose another --output",
      output, fields["host"], fields["process"], fields["started"],
      job.empty() ? "" : ", Slurm job " + job));
}

[[noreturn]] void cannot_make(const std::string& path, int error) {
  const std::string text = fmt::format("cannot make {}: {}", path, std::strerror(error));
  if (error == ENOSPC || error == EDQUOT || error == EIO) throw FileError(text);
  throw InputError(text);
}

}  // namespace

OutputLock::OutputLock(const std::string& output, Options options)
    : output_(output), path_(lock_file(output)), options_(std::move(options)) {
  if (options_.place.empty()) options_.place = this_place();
  std::random_device device;
  id_ = fmt::format("{:08x}{:08x}", device(), device());
  while (!take()) {
  }
  write();
  if (watched_) {  // two runs may have found the same lock dead: the last to write it has it
    pause(options_.beat_every / 4);
    if (!is_ours()) refuse(output_, content_of(path_));
  }
  sigset_t all, before;  // signals are for the other threads
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::jthread([this](const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    const std::chrono::duration<double> every(options_.beat_every);
    while (!wake_.wait_for(lock, stop, every, [] { return false; }) && !stop.stop_requested())
      beat();
  });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

OutputLock::~OutputLock() {
  thread_.request_stop();
  thread_.join();
  if (!lost_ && is_ours()) ::unlink(path_.c_str());
  ::close(file_);
}

/// Opens the file, or makes it. False when its last holder has just removed it.
bool OutputLock::take() {
  file_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
  if (file_ < 0) cannot_make(path_, errno);
  try {
    bool locked = false;
    if (options_.flock) {
      locked = ::flock(file_, LOCK_EX | LOCK_NB) == 0;
      if (!locked && errno == EWOULDBLOCK) refuse(output_, content_of(path_));
    }
    if (stands_at(file_, path_)) {
      const std::string text = content_of(path_);
      if (holder_lives(text, locked)) refuse(output_, text);
      return true;
    }
  } catch (...) {
    ::close(file_);
    throw;
  }
  ::close(file_);
  return false;
}

bool OutputLock::holder_lives(const std::string& text, bool locked) {
  if (text.empty()) return !locked && seen_to_beat(text, options_.beat_every);
  if (!text.starts_with(first_line))
    throw InputError(fmt::format("{} is no lock file of headflow: move it away", path_));
  auto fields = fields_of(text);
  if (fields["place"] == options_.place) {
    const std::string birth = birth_of(fields["process"]);
    return !locked && !birth.empty() && birth == fields["birth"];
  }
  return seen_to_beat(text, std::clamp(std::atof(fields["every"].c_str()), 0.01, 600.0));
}

/// Whether the file changes while this process looks on.
bool OutputLock::seen_to_beat(const std::string& text, double every) {
  auto fields = fields_of(text);
  const double patience = 3 * every;
  fmt::print(
      "looking for up to {:.3g} s whether the run on host {} (process {}) that held {} still "
      "lives\n",
      patience, fields["host"], fields["process"], output_);
  std::fflush(stdout);
  watched_ = true;
  const Stopwatch watch;
  do {
    if (options_.stopped()) throw Interrupt{};
    pause(std::min(0.5, every / 4));
    if (content_of(path_) != text) return true;
  } while (watch.seconds() < patience);
  return false;
}

bool OutputLock::is_ours() const { return fields_of(content_of(path_))["id"] == id_; }

void OutputLock::write() {
  const char* job = std::getenv("SLURM_JOB_ID");
  const std::string process = std::to_string(::getpid());
  const std::string text = fmt::format(
      "{}\nid {}\nhost {}\nprocess {}\nbirth {}\nplace {}\nstarted {:%Y-%m-%dT%H:%M:%SZ}"
      "\njob {}\nevery {}\nbeat {:012}\n",
      first_line, id_, host(), process, birth_of(process), options_.place,
      fmt::gmtime(std::time(nullptr)), job == nullptr ? "" : job, options_.beat_every, beats_);
  if (::ftruncate(file_, static_cast<off_t>(text.size())) != 0 ||
      ::pwrite(file_, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()) ||
      ::fsync(file_) != 0) {
    const int error = errno;
    ::unlink(path_.c_str());
    ::close(file_);
    cannot_make(path_, error);
  }
}

/// By the thread.
void OutputLock::beat() {
  const std::string there = content_of(path_);
  if (!there.empty() && fields_of(there)["id"] != id_) lost_ = true;
  if (lost_) return;
  const std::string text = fmt::format("beat {:012}\n", ++beats_);
  struct stat status = {};
  if (::fstat(file_, &status) != 0) return;
  const auto end = status.st_size - static_cast<off_t>(text.size());
  if (::pwrite(file_, text.data(), text.size(), end) > 0) ::fsync(file_);
}

void OutputLock::require_held() const {
  if (lost_)
    throw FileError(fmt::format(
        "another run has taken over output {}: this one was suspended, or cut off from its disk, "
        "for longer than {:g} s",
        output_, 3 * options_.beat_every));
}

std::unique_ptr<OutputLock> lock_output(const Communicator& comm, const std::string& output) {
  std::unique_ptr<OutputLock> lock;
  bool interrupted = false;
  comm.on_root([&] {
    try {
      lock = std::make_unique<OutputLock>(output, OutputLock::Options{.stopped = stop_signalled});
    } catch (const Interrupt&) {
      interrupted = true;
    }
  });
  if (comm.any(interrupted)) throw Interrupt{};
  return lock;
}

}  // namespace headflow
