#include "core/work_queue.hpp"

#include <chrono>
#include <thread>
#include <utility>

#include "core/mpi_count.hpp"

namespace headflow {
namespace {

constexpr int mail = static_cast<int>(MessageTag::mail);

}  // namespace

SharedCounter::SharedCounter(const Communicator& comm) {
  std::int64_t* value = nullptr;
  mpi_check(MPI_Win_allocate(comm.root() ? sizeof(std::int64_t) : 0, sizeof(std::int64_t),
                             MPI_INFO_NULL, comm.handle(), &value, &window_),
            "MPI_Win_allocate");
  mpi_check(MPI_Win_set_errhandler(window_, MPI_ERRORS_RETURN), "MPI_Win_set_errhandler");
  mpi_check(MPI_Win_lock_all(0, window_), "MPI_Win_lock_all");
  if (comm.root()) {
    const std::int64_t zero = 0;
    std::int64_t before = 0;
    mpi_check(MPI_Fetch_and_op(&zero, &before, MPI_INT64_T, 0, 0, MPI_REPLACE, window_),
              "MPI_Fetch_and_op");
    mpi_check(MPI_Win_flush(0, window_), "MPI_Win_flush");
  }
  comm.barrier();
}

SharedCounter::~SharedCounter() {
  if (unwinding_.now()) return;
  MPI_Win_unlock_all(window_);
  MPI_Win_free(&window_);
}

std::int64_t SharedCounter::fetch_add(std::int64_t step) {
  std::int64_t before = 0;
  mpi_check(MPI_Fetch_and_op(&step, &before, MPI_INT64_T, 0, 0, MPI_SUM, window_),
            "MPI_Fetch_and_op");
  mpi_check(MPI_Win_flush(0, window_), "MPI_Win_flush");
  return before;
}

Mailbox::~Mailbox() {
  if (unwinding_.now())
    static_cast<void>(sent_.release());  // MPI may read these texts until the program ends
  else
    for (Sent& sent : *sent_) MPI_Wait(&sent.request, MPI_STATUS_IGNORE);
}

void Mailbox::send(std::string message) {
  while (!sent_->empty()) {
    int done = 0;
    mpi_check(MPI_Test(&sent_->front().request, &done, MPI_STATUS_IGNORE), "MPI_Test");
    if (done == 0) break;
    sent_->pop_front();
  }
  const int size = mpi_count(message.size(), "MPI_Isend");
  Sent& sent = sent_->emplace_back(Sent{std::move(message), MPI_REQUEST_NULL});
  mpi_check(MPI_Isend(sent.message.data(), size, MPI_CHAR, 0, mail, comm_.handle(), &sent.request),
            "MPI_Isend");
}

std::optional<std::string> Mailbox::receive() {
  int there = 0;
  MPI_Status status;
  mpi_check(MPI_Iprobe(MPI_ANY_SOURCE, mail, comm_.handle(), &there, &status), "MPI_Iprobe");
  if (there == 0) return std::nullopt;
  int size = 0;
  mpi_check(MPI_Get_count(&status, MPI_CHAR, &size), "MPI_Get_count");
  std::string message(static_cast<std::size_t>(size), '\0');
  mpi_check(MPI_Recv(message.data(), size, MPI_CHAR, status.MPI_SOURCE, mail, comm_.handle(),
                     MPI_STATUS_IGNORE),
            "MPI_Recv");
  return message;
}

std::string Mailbox::wait() {
  while (true) {
    if (auto message = receive()) return *std::move(message);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace headflow
