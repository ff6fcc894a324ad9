#include "headflow/core/mpi.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "headflow/core/error.hpp"

namespace headflow {
namespace {

void check(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw NumericalError(std::string(call) + " failed: " + std::string(text, length));
}

template <class T>
void sum_in_place(std::span<T> values, MPI_Datatype type, MPI_Comm comm) {
  constexpr std::size_t most = std::size_t{1} << 28;  // MPI counts in int
  for (std::size_t first = 0; first < values.size(); first += most)
    check(
        MPI_Allreduce(MPI_IN_PLACE, values.data() + first,
                      static_cast<int>(std::min(most, values.size() - first)), type, MPI_SUM, comm),
        "MPI_Allreduce");
}

}  // namespace

MpiSession::MpiSession(int& argc, char**& argv) { check(MPI_Init(&argc, &argv), "MPI_Init"); }

MpiSession::~MpiSession() { MPI_Finalize(); }

void MpiSession::abort(int exit_code) {
  MPI_Abort(MPI_COMM_WORLD, exit_code);
  std::abort();
}

Communicator Communicator::world() {
  MPI_Comm comm = MPI_COMM_NULL;
  check(MPI_Comm_dup(MPI_COMM_WORLD, &comm), "MPI_Comm_dup");
  return Communicator(comm);
}

Communicator Communicator::self() {
  MPI_Comm comm = MPI_COMM_NULL;
  check(MPI_Comm_dup(MPI_COMM_SELF, &comm), "MPI_Comm_dup");
  return Communicator(comm);
}

Communicator Communicator::split(int group) const {
  MPI_Comm comm = MPI_COMM_NULL;
  check(MPI_Comm_split(comm_, group, rank(), &comm), "MPI_Comm_split");
  return Communicator(comm);
}

Communicator::~Communicator() {
  if (comm_ != MPI_COMM_NULL) MPI_Comm_free(&comm_);
}

Communicator::Communicator(Communicator&& other) noexcept
    : comm_(std::exchange(other.comm_, MPI_COMM_NULL)) {}

Communicator& Communicator::operator=(Communicator&& other) noexcept {
  std::swap(comm_, other.comm_);
  return *this;
}

int Communicator::rank() const {
  int rank = 0;
  check(MPI_Comm_rank(comm_, &rank), "MPI_Comm_rank");
  return rank;
}

int Communicator::size() const {
  int size = 0;
  check(MPI_Comm_size(comm_, &size), "MPI_Comm_size");
  return size;
}

void Communicator::sum(std::span<std::int64_t> values) const {
  // Unsigned, because hashes ride along and may wrap around.
  sum_in_place(values, MPI_UINT64_T, comm_);
}

void Communicator::sum(std::span<float> values) const { sum_in_place(values, MPI_FLOAT, comm_); }

std::int64_t Communicator::max(std::int64_t value) const {
  check(MPI_Allreduce(MPI_IN_PLACE, &value, 1, MPI_INT64_T, MPI_MAX, comm_), "MPI_Allreduce");
  return value;
}

std::int64_t Communicator::min(std::int64_t value) const {
  check(MPI_Allreduce(MPI_IN_PLACE, &value, 1, MPI_INT64_T, MPI_MIN, comm_), "MPI_Allreduce");
  return value;
}

std::vector<double> Communicator::all_gather(std::span<const double> mine) const {
  const int own = static_cast<int>(mine.size());
  std::vector<int> counts(static_cast<std::size_t>(size())), offsets(counts.size());
  check(MPI_Allgather(&own, 1, MPI_INT, counts.data(), 1, MPI_INT, comm_), "MPI_Allgather");
  std::exclusive_scan(counts.begin(), counts.end(), offsets.begin(), 0);
  std::vector<double> all(static_cast<std::size_t>(offsets.back() + counts.back()));
  check(MPI_Allgatherv(mine.data(), own, MPI_DOUBLE, all.data(), counts.data(), offsets.data(),
                       MPI_DOUBLE, comm_),
        "MPI_Allgatherv");
  return all;
}

void Communicator::broadcast_bytes(void* data, std::size_t size, int from) const {
  constexpr std::size_t most = std::size_t{1} << 30;  // MPI counts in int
  auto* bytes = static_cast<char*>(data);
  for (std::size_t first = 0; first < size; first += most)
    check(MPI_Bcast(bytes + first, static_cast<int>(std::min(most, size - first)), MPI_BYTE, from,
                    comm_),
          "MPI_Bcast");
}

std::string Communicator::broadcast(std::string text, int from) const {
  text.resize(broadcast(text.size(), from));
  broadcast_bytes(text.data(), text.size(), from);
  return text;
}

void Communicator::broadcast(std::span<double> values) const {
  broadcast_bytes(values.data(), values.size_bytes(), 0);
}

void Communicator::barrier() const { check(MPI_Barrier(comm_), "MPI_Barrier"); }

void Communicator::share_error(int code, std::string message) const {
  code = static_cast<int>(max(code));
  if (code != 0) throw Error(static_cast<ExitCode>(code), broadcast(std::move(message)));
}

}  // namespace headflow
