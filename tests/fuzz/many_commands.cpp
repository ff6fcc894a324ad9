// Carries out one command line of headflow after another in one process, which takes a start of MPI
// for all of them: what a fuzzer needs that tries hundreds in a second.
//
// Each runs in a child of the process, so that a crash and what it leaves behind are its own.
//
// From standard input, for each: the number of words, and for each word its size in bytes, a line's
// end, and its bytes. The first word is the folder in which it runs, the others are the arguments.
// To standard output, for each: its exit code, or less the signal that ended it; HDF5 objects left
// open; milliseconds of processor time; sizes of what it has printed and of its messages; a line's
// end, and these two. Ends with the input, with exit code 0.
#include <fcntl.h>
#include <fmt/format.h>
#include <hdf5.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "app/commands.hpp"
#include "core/report.hpp"
#include "headflow/core/mpi.hpp"

namespace {

using namespace headflow;

constexpr rlim_t most_seconds = 10;  // of processor time, after which SIGXCPU ends a command

std::optional<std::vector<std::string>> read_words() {
  std::size_t count = 0, size = 0;
  if (!(std::cin >> count)) return std::nullopt;
  std::vector<std::string> words(count);
  for (auto& word : words) {
    std::cin >> size;
    std::cin.ignore(1);
    word.resize(size);
    std::cin.read(word.data(), static_cast<std::streamsize>(size));
  }
  return words;
}

/// The exit code of the program.
int carry_out(std::vector<std::string> words) {
  std::vector<char*> arguments;
  for (auto& word : words) arguments.push_back(word.data());
  try {
    const Command command =
        read_command_line(static_cast<int>(arguments.size()), arguments.data(), true);
    if (command.execute == nullptr) return 0;
    return static_cast<int>(command.execute(Communicator::world(), command));
  } catch (const Error& error) {
    return report(error);
  } catch (const std::exception& error) {
    fmt::print(stderr, "headflow: internal error: {}\n", error.what());
  }
  return static_cast<int>(ExitCode::numerical_failure);
}

/// A file without a name that stands in the place of a standard stream.
class Captured {
 public:
  explicit Captured(int stream) : stream_(stream) {
    std::FILE* file = std::tmpfile();
    if (file == nullptr || dup2(fileno(file), stream) < 0) std::exit(1);
    std::fclose(file);
  }
  /// What has been written since the last call.
  std::string take() {
    std::string text(static_cast<std::size_t>(lseek(stream_, 0, SEEK_END)), '\0');
    if (pread(stream_, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()) ||
        ftruncate(stream_, 0) != 0 || lseek(stream_, 0, SEEK_SET) != 0)
      std::exit(1);
    return text;
  }

 private:
  int stream_;
};

/// In a child, which ends here.
[[noreturn]] void be_command(std::vector<std::string> words, int open_objects) {
  rlimit limit{};
  getrlimit(RLIMIT_CPU, &limit);
  limit.rlim_cur = most_seconds;
  setrlimit(RLIMIT_CPU, &limit);
  if (chdir(words.front().c_str()) != 0) _exit(1);
  words.front() = "headflow";
  const int code = carry_out(std::move(words));
  std::cout.flush();
  std::fflush(stdout);
  std::fflush(stderr);
  const auto open =
      static_cast<std::int64_t>(H5Fget_obj_count(static_cast<hid_t>(H5F_OBJ_ALL), H5F_OBJ_ALL));
  if (write(open_objects, &open, sizeof open) != sizeof open) _exit(1);
  _exit(code);
}

}  // namespace

int main(int argc, char** argv) {
  const MpiSession mpi(argc, argv);
  std::FILE* answers = fdopen(dup(STDOUT_FILENO), "wb");
  int open_objects[2];
  if (answers == nullptr || pipe2(open_objects, O_NONBLOCK | O_CLOEXEC) != 0) return 1;
  Captured out(STDOUT_FILENO), errors(STDERR_FILENO);
  while (auto words = read_words()) {
    const pid_t child = fork();
    if (child == 0) be_command(std::move(*words), open_objects[1]);
    int status = 0;
    rusage used{};
    if (child < 0 || wait4(child, &status, 0, &used) != child) return 1;
    std::int64_t open = 0;
    while (read(open_objects[0], &open, sizeof open) > 0) {
    }
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    const auto milliseconds = (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000 +
                              (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1000;
    const std::string printed = out.take(), said = errors.take();
    fmt::print(answers, "{} {} {} {} {}\n", code, open, milliseconds, printed.size(), said.size());
    std::fwrite(printed.data(), 1, printed.size(), answers);
    std::fwrite(said.data(), 1, said.size(), answers);
    std::fflush(answers);
  }
  return 0;
}
