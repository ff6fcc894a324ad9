#pragma once
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "headflow/core/mpi.hpp"

namespace headflow {

/// Messages from any rank to any other, which takes them when it has time. No member is collective.
class Mailbox {
 public:
  /// `comm` must outlive the mailbox.
  explicit Mailbox(const Communicator& comm) : comm_(comm) {}
  /// Waits until what this rank has sent is taken; while an exception unwinds it does not.
  ~Mailbox();
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  /// Begins to send `text` to a rank (also to this one); does not wait. Throws NumericalError for
  /// 2^31 bytes or more.
  void send(std::string text, int to = 0);

  struct Message {
    int from = 0;
    std::string text;
  };
  /// The next message for this rank, if one has come: from any one rank in the order in which they
  /// were sent.
  std::optional<Message> receive();

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
