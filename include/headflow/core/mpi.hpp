#pragma once
#include <mpi.h>

#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace headflow {

/// MPI from its start to its end. Owned once, by main or by a test program.
class MpiSession {
 public:
  MpiSession(int& argc, char**& argv);
  ~MpiSession();
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;

  /// Ends every rank at once with the given exit code: for an error that one rank alone has seen.
  [[noreturn]] static void abort(int exit_code);
};

/// An owned communicator with checked, typed calls. Every member below rank() and size() is
/// collective.
class Communicator {
 public:
  /// A duplicate of the world's communicator, so that messages never mix with a library's.
  static Communicator world();
  /// This process alone.
  static Communicator self();
  /// The ranks of this communicator that give the same `group`, in the same order.
  Communicator split(int group) const;
  ~Communicator();
  Communicator(Communicator&& other) noexcept;
  Communicator& operator=(Communicator&& other) noexcept;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  int rank() const;
  int size() const;
  bool root() const { return rank() == 0; }
  MPI_Comm handle() const noexcept { return comm_; }

  /// Element-wise sum over ranks with wrap-around at 2^64, in place: exact, hence independent of
  /// their number.
  void sum(std::span<std::int64_t> values) const;
  /// Element-wise sum over ranks in place, rounded: may depend on their number in the last bits.
  void sum(std::span<float> values) const;
  /// The largest value over ranks.
  std::int64_t max(std::int64_t value) const;
  /// The smallest value over ranks.
  std::int64_t min(std::int64_t value) const;
  /// Whether `value` is true on some rank.
  bool any(bool value) const { return max(value ? 1 : 0) != 0; }
  /// The numbers of all ranks, one rank after the other, on every rank. Ranks may give different
  /// counts.
  std::vector<double> all_gather(std::span<const double> mine) const;
  /// The text of rank `from` on every rank.
  std::string broadcast(std::string text, int from = 0) const;
  /// Rank 0's numbers on every rank.
  void broadcast(std::span<double> values) const;
  /// The value of rank `from` on every rank.
  template <class T>
  requires std::is_arithmetic_v<T> T broadcast(T value, int from = 0)
  const {
    broadcast_bytes(&value, sizeof value, from);
    return value;
  }
  void barrier() const;

  /// Runs `work` on rank 0; an Error thrown there is thrown on every rank with the same message and
  /// code.
  template <class Work>
  void on_root(Work&& work) const;

 private:
  explicit Communicator(MPI_Comm comm) : comm_(comm) {}
  void share_error(int code, std::string message) const;
  void broadcast_bytes(void* data, std::size_t size, int from) const;
  MPI_Comm comm_ = MPI_COMM_NULL;
};

}  // namespace headflow

#include "headflow/core/error.hpp"

template <class Work>
void headflow::Communicator::on_root(Work&& work) const {
  int code = 0;
  std::string message;
  if (root()) {
    try {
      work();
    } catch (const Error& error) {
      code = static_cast<int>(error.code());
      message = error.what();
    } catch (const std::exception& error) {
      code = static_cast<int>(ExitCode::file_failure);
      message = error.what();
    }
  }
  share_error(code, std::move(message));
}
