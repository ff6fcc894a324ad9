#include "core/work_queue.hpp"

#include "headflow/core/error.hpp"

namespace headflow {
namespace {

constexpr int tag = 7;

void check(int code, const char* call) {
  if (code != MPI_SUCCESS) throw NumericalError(std::string(call) + " failed");
}

}  // namespace

SharedCounter::SharedCounter(const Communicator& comm) {
  std::int64_t* value = nullptr;
  check(MPI_Win_allocate(comm.root() ? sizeof(std::int64_t) : 0, sizeof(std::int64_t),
                         MPI_INFO_NULL, comm.handle(), &value, &window_),
        "MPI_Win_allocate");
  check(MPI_Win_lock_all(0, window_), "MPI_Win_lock_all");
  if (comm.root()) {
    const std::int64_t zero = 0;
    std::int64_t before = 0;
    check(MPI_Fetch_and_op(&zero, &before, MPI_INT64_T, 0, 0, MPI_REPLACE, window_),
          "MPI_Fetch_and_op");
    check(MPI_Win_flush(0, window_), "MPI_Win_flush");
  }
  comm.barrier();
}

SharedCounter::~SharedCounter() {
  MPI_Win_unlock_all(window_);
  MPI_Win_free(&window_);
}

std::int64_t SharedCounter::fetch_add(std::int64_t step) {
  std::int64_t before = 0;
  check(MPI_Fetch_and_op(&step, &before, MPI_INT64_T, 0, 0, MPI_SUM, window_), "MPI_Fetch_and_op");
  check(MPI_Win_flush(0, window_), "MPI_Win_flush");
  return before;
}

Mailbox::~Mailbox() {
  for (Sent& sent : sent_) MPI_Wait(&sent.request, MPI_STATUS_IGNORE);
}

void Mailbox::send(std::string message) {
  while (!sent_.empty()) {
    int done = 0;
    check(MPI_Test(&sent_.front().request, &done, MPI_STATUS_IGNORE), "MPI_Test");
    if (done == 0) break;
    sent_.pop_front();
  }
  Sent& sent = sent_.emplace_back(Sent{std::move(message), MPI_REQUEST_NULL});
  check(MPI_Isend(sent.message.data(), static_cast<int>(sent.message.size()), MPI_CHAR, 0, tag,
                  comm_.handle(), &sent.request),
        "MPI_Isend");
}

std::optional<std::string> Mailbox::receive() {
  int there = 0;
  MPI_Status status;
  check(MPI_Iprobe(MPI_ANY_SOURCE, tag, comm_.handle(), &there, &status), "MPI_Iprobe");
  if (there == 0) return std::nullopt;
  int size = 0;
  check(MPI_Get_count(&status, MPI_CHAR, &size), "MPI_Get_count");
  std::string message(static_cast<std::size_t>(size), '\0');
  check(MPI_Recv(message.data(), size, MPI_CHAR, status.MPI_SOURCE, tag, comm_.handle(),
                 MPI_STATUS_IGNORE),
        "MPI_Recv");
  return message;
}

}  // namespace headflow
