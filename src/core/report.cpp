#include "core/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include "headflow/core/error.hpp"
#include "headflow/core/mpi.hpp"

namespace headflow {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

/// How far apart in time the ranks may find an error that all of them find.
constexpr auto patience = 3s;
/// What a launcher needs to hand a message on: that of Open MPI 5 loses what is on its way when a
/// rank aborts.
constexpr auto forwarding = 1s;

struct Failure {
  ExitCode code;
  const char* kind;
  std::string message;
};

/// Whether all ranks come here before the patience of this one ends.
bool all_arrive(const Communicator& world) {
  MPI_Request request = MPI_REQUEST_NULL;
  if (MPI_Ibarrier(world.handle(), &request) != MPI_SUCCESS) return false;
  const auto end = Clock::now() + patience;
  for (int done = 0;;) {
    if (MPI_Test(&request, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS) return false;
    if (done != 0) return true;
    if (Clock::now() > end) return false;
    std::this_thread::sleep_for(1ms);
  }
}

void print(const Failure& failure, const std::string& where) {
  fmt::print(stderr, "headflow: {}{}: {}\n", failure.kind, where, one_line(failure.message));
  std::fflush(stderr);
}

/// The length of the UTF-8 character at the beginning of `text`; 0 when there is none.
std::size_t length_of_character(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) return 0;
  return length;
}

/// Ends of lines, and what makes terminals write from right to left.
bool is_control(std::string_view character) {
  if (character.size() == 1) return character[0] < ' ' || character[0] == 0x7f;
  static constexpr std::string_view controls[] = {"\u0085", "\u061c", "\u200e", "\u200f", "\u2028",
                                                  "\u2029", "\u202a", "\u202b", "\u202c", "\u202d",
                                                  "\u202e", "\u2066", "\u2067", "\u2068", "\u2069"};
  return std::find(std::begin(controls), std::end(controls), character) != std::end(controls) ||
         (character.size() == 2 && character[0] == '\xc2' &&
          static_cast<unsigned char>(character[1]) < 0xa0);
}

/// Writes into the file HEADFLOW_EXIT of a job script on this node, if there is one; whether it
/// did.
bool tell_script(const std::string& word) {
  const char* path = std::getenv("HEADFLOW_EXIT");
  std::error_code ignored;
  if (path == nullptr || !std::filesystem::exists(path, ignored)) return false;
  std::ofstream file(path);
  file << word << '\n';
  return file.flush().good();
}

/// The exit code for the launcher: 0 where the job script has heard of `code` itself. Launchers
/// complain of any other, wait, and may change it.
int hand_over(const Communicator& world, int code) {
  return world.any(world.root() && tell_script(std::to_string(code))) ? 0 : code;
}

int end_all(const Communicator& world, const Failure& failure) {
  const std::string where = fmt::format(" on rank {}", world.rank());
  if (!all_arrive(world)) {
    print(failure, where);
    if (world.root()) tell_script(std::to_string(static_cast<int>(failure.code)));
    std::this_thread::sleep_for(forwarding);
    MpiSession::abort(static_cast<int>(failure.code));
  }
  if (world.root()) print(failure, "");
  const bool differs = world.broadcast(failure.message) != failure.message;
  if (world.min(differs ? world.rank() : world.size()) == world.rank()) print(failure, where);
  const int code = world.broadcast(static_cast<int>(failure.code));
  if (code != static_cast<int>(ExitCode::file_failure)) return hand_over(world, code);
  if (world.root()) tell_script(std::to_string(code));
  std::this_thread::sleep_for(world.root() ? forwarding : patience);  // rank 0 ends all of them
  MpiSession::abort(code);
}

}  // namespace

std::string one_line(const std::string& text) {
  constexpr std::size_t most = 1500;
  std::string_view rest = text;
  std::vector<std::string> characters;
  while (!rest.empty()) {
    const std::size_t length = length_of_character(rest);
    const std::string_view character = rest.substr(0, std::max<std::size_t>(length, 1));
    rest.remove_prefix(character.size());
    if (length > 0 && !is_control(character)) {
      characters.emplace_back(character);
      continue;
    }
    if (character == "\n") {
      characters.emplace_back("\\n");
      continue;
    }
    for (const char byte : character)
      characters.push_back(fmt::format("\\x{:02x}", static_cast<unsigned char>(byte)));
  }
  if (characters.size() > most) {
    const auto middle = characters.begin() + most / 2;
    characters.erase(middle, characters.end() - most / 2);
    characters.insert(characters.begin() + most / 2, " [..] ");
  }
  return fmt::format("{}", fmt::join(characters, ""));
}

void warn(const std::string& text) {
  fmt::print(stderr, "headflow: warning: {}\n", one_line(text));
  std::fflush(stderr);
}

int report(const Error& error) {
  print({error.code(), "error", error.what()}, "");
  return static_cast<int>(error.code());
}

int run_and_report(const std::function<int()>& program) {
  // Of its own, because failing ranks may stand anywhere in the program's communication.
  const Communicator world = Communicator::world();
  Failure failure{ExitCode::numerical_failure, "internal error", "unknown exception"};
  if (world.root()) tell_script("started");
  try {
    return hand_over(world, program());
  } catch (const Error& error) {
    failure = {error.code(), "error", error.what()};
  } catch (const std::exception& error) {
    failure.message = error.what();
  } catch (...) {
  }
  return end_all(world, failure);
}

}  // namespace headflow
