#include "core/mailbox.hpp"

#include <utility>

#include "core/mpi_count.hpp"

namespace headflow {
namespace {

constexpr int mail = static_cast<int>(MessageTag::mail);

}  // namespace

Mailbox::~Mailbox() {
  if (unwinding_.now())
    static_cast<void>(sent_.release());  // MPI may read these texts until the program ends
  else
    for (Sent& sent : *sent_) MPI_Wait(&sent.request, MPI_STATUS_IGNORE);
}

void Mailbox::send(std::string text, int to) {
  while (!sent_->empty()) {
    int done = 0;
    mpi_check(MPI_Test(&sent_->front().request, &done, MPI_STATUS_IGNORE), "MPI_Test");
    if (done == 0) break;
    sent_->pop_front();
  }
  const int size = mpi_count(text.size(), "MPI_Isend");
  Sent& sent = sent_->emplace_back(Sent{std::move(text), MPI_REQUEST_NULL});
  mpi_check(MPI_Isend(sent.message.data(), size, MPI_CHAR, to, mail, comm_.handle(), &sent.request),
            "MPI_Isend");
}

std::optional<Mailbox::Message> Mailbox::receive() {
  int there = 0;
  MPI_Status status;
  mpi_check(MPI_Iprobe(MPI_ANY_SOURCE, mail, comm_.handle(), &there, &status), "MPI_Iprobe");
  if (there == 0) return std::nullopt;
  int size = 0;
  mpi_check(MPI_Get_count(&status, MPI_CHAR, &size), "MPI_Get_count");
  Message message{.from = status.MPI_SOURCE,
                  .text = std::string(static_cast<std::size_t>(size), '\0')};
  mpi_check(MPI_Recv(message.text.data(), size, MPI_CHAR, message.from, mail, comm_.handle(),
                     MPI_STATUS_IGNORE),
            "MPI_Recv");
  return message;
}

}  // namespace headflow
