#pragma once
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "headflow/core/mpi.hpp"

namespace headflow {

/// A counter on rank 0 that any rank advances without rank 0's help (one-sided MPI): hands out
/// work.
class SharedCounter {
 public:
  /// Collective, as is the destructor, which leaves the counter alone while an exception unwinds.
  explicit SharedCounter(const Communicator& comm);
  ~SharedCounter();
  SharedCounter(const SharedCounter&) = delete;
  SharedCounter& operator=(const SharedCounter&) = delete;

  /// The value before `step` was added to it; not collective.
  std::int64_t fetch_add(std::int64_t step);

 private:
  MPI_Win window_ = MPI_WIN_NULL;
  Unwinding unwinding_;
};

/// Messages from any rank to rank 0, which takes them when it has time. No member is collective.
class Mailbox {
 public:
  /// `comm` must outlive the mailbox.
  explicit Mailbox(const Communicator& comm) : comm_(comm) {}
  /// Waits until rank 0 has taken what this rank has sent; while an exception unwinds it does not.
  ~Mailbox();
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  /// Begins to send `message` to rank 0 (also from itself); does not wait. Throws NumericalError
  /// for 2^31 bytes or more.
  void send(std::string message);
  /// On rank 0: the next message, if one has come.
  std::optional<std::string> receive();
  /// On rank 0: the next message. Sleeps until it comes.
  std::string wait();

 private:
  struct Sent {
    std::string message;
    MPI_Request request;
  };
  const Communicator& comm_;
  std::unique_ptr<std::deque<Sent>> sent_ = std::make_unique<std::deque<Sent>>();
  Unwinding unwinding_;
};

}  // namespace headflow
