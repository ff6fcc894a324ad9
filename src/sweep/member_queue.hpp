#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/mailbox.hpp"
#include "sweep/member_result.hpp"

namespace headflow {

/// Hands the members of a sweep out to groups of ranks, carries their results to rank 0, and tells
/// all groups when to stop. The first ranks of the groups, the leaders, send messages to rank 0,
/// which answers when it has time: one-sided communication would not have to wait for it, but not
/// every MPI library offers it on every network. No member is collective but the constructor; on
/// ranks that lead no group all of them do nothing.
class MemberQueue {
 public:
  /// For members 0 .. count - 1. `take` is called on rank 0 with each result.
  MemberQueue(const Communicator& world, const Communicator& group, std::int64_t count,
              std::function<void(const MemberResult&)> take);

  /// The next member for this group, or none when all are given or the sweep is to stop. While it
  /// waits it asks `must_stop`.
  std::optional<std::int64_t> next(const std::function<bool()>& must_stop);
  void deliver(const MemberResult& result);
  /// On rank 0: takes what has come, and answers.
  void serve();
  /// All groups are to leave the members that they are in, and to begin no more.
  void stop();
  /// Whether some group has called stop() before all members were done.
  bool stopped();
  /// Waits until all groups have come here, or the sweep is to stop. While it waits it asks
  /// `must_stop`.
  void close(const std::function<bool()>& must_stop);

 private:
  bool leads_elsewhere() const { return leads_ && !world_.root(); }
  void handle(const Mailbox::Message& message);
  void end_all(char how);
  void hear();

  const Communicator& world_;
  bool leads_;
  std::vector<int> leaders_;  // but rank 0
  std::int64_t count_;
  std::function<void(const MemberResult&)> take_;
  Mailbox mailbox_;
  std::int64_t given_ = 0;
  std::size_t out_ = 0;                // leaders that wait for the end
  std::size_t closed_ = 0;             // leaders that have seen the end
  char ended_ = 0;                     // with which word, once it has
  std::optional<std::string> answer_;  // of rank 0, for next()
  bool asked_to_stop_ = false;
};

}  // namespace headflow
