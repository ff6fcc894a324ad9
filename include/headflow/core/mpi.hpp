#pragma once
#include <mpi.h>

#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "headflow/core/error.hpp"

namespace headflow {

/// Throws NumericalError with the call's name and MPI's text when `code` is not MPI_SUCCESS.
void mpi_check(int code, const char* call);

/// MPI from its start to its end. Owned once, by main or by a test program. While an exception
/// unwinds, the destructor leaves MPI as it is (see Unwinding).
class MpiSession {
 public:
  MpiSession(int& argc, char**& argv);
  ~MpiSession();
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;

  /// Ends every rank at once with the given exit code: for an error that one rank alone has seen.
  [[noreturn]] static void abort(int exit_code);

 private:
  Unwinding unwinding_;
  std::string session_folder_;
};

/// An owned communicator with checked, typed calls. All members are collective but rank(), size(),
/// root(), handle(), the moves and the destructor. Errors of MPI come out as NumericalError.
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

  int rank() const noexcept { return rank_; }
  int size() const noexcept { return size_; }
  bool root() const noexcept { return rank_ == 0; }
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
  /// counts. Throws NumericalError when there are more than 2^31 - 1 numbers in all.
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
  /// A barrier whose ranks sleep, where a barrier keeps their processors busy: for long waits, as
  /// it ends up to a millisecond late.
  void sleeping_barrier() const;

  /// Runs `work` on rank 0; an Error thrown there is thrown on every rank with the same message and
  /// code.
  template <class Work>
  void on_root(Work&& work) const;

 private:
  explicit Communicator(MPI_Comm comm);
  void share_error(int code, std::string message) const;
  void broadcast_bytes(void* data, std::size_t size, int from) const;
  MPI_Comm comm_ = MPI_COMM_NULL;
  int rank_ = 0;
  int size_ = 0;
};

template <class Work>
void Communicator::on_root(Work&& work) const {
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

}  // namespace headflow
