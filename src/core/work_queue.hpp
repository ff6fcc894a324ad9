#pragma once
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "headflow/core/mpi.hpp"

namespace headflow {

/// A counter on rank 0 that any rank advances without rank 0's help (one-sided MPI): hands out
/// work.
class SharedCounter {
 public:
  /// Collective, as is the destructor.
  explicit SharedCounter(const Communicator& comm);
  ~SharedCounter();
  SharedCounter(const SharedCounter&) = delete;
  SharedCounter& operator=(const SharedCounter&) = delete;

  /// The value before `step` was added to it; not collective.
  std::int64_t fetch_add(std::int64_t step);

 private:
  MPI_Win window_ = MPI_WIN_NULL;
};

/// Messages from any rank to rank 0, which takes them when it has time.
class Mailbox {
 public:
  explicit Mailbox(const Communicator& comm) : comm_(comm) {}
  ~Mailbox();
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  /// Begins to send `message` to rank 0 (also from itself); does not wait.
  void send(std::string message);
  /// On rank 0: the next message, if one has come.
  std::optional<std::string> receive();

 private:
  struct Sent {
    std::string message;
    MPI_Request request;
  };
  const Communicator& comm_;
  std::deque<Sent> sent_;
};

}  // namespace headflow
