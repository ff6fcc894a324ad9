#include "headflow/core/mpi.hpp"

#include <dlfcn.h>
#include <link.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <numeric>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "core/launcher.hpp"
#include "core/mpi_count.hpp"

namespace headflow {
namespace {

template <class T>
void sum_in_place(std::span<T> values, MPI_Datatype type, MPI_Comm comm) {
  constexpr std::size_t most = std::size_t{1} << 28;  // MPI counts in int
  for (std::size_t first = 0; first < values.size(); first += most)
    mpi_check(
        MPI_Allreduce(MPI_IN_PLACE, values.data() + first,
                      static_cast<int>(std::min(most, values.size() - first)), type, MPI_SUM, comm),
        "MPI_Allreduce");
}

}  // namespace

void mpi_check(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  if (MPI_Error_string(code, text, &length) != MPI_SUCCESS) length = 0;
  throw NumericalError(std::string(call) +
                       " failed: " + std::string(text, static_cast<std::size_t>(length)));
}

namespace {

/// Starts MPI in a process that has no launcher and returns a folder to be removed at its end.
/// Open MPI keeps the files of such a process in a folder of the temporary folder that all
/// processes of the user share. Each of them makes it if it is missing, and removes it (version 4)
/// or leaves it behind (version 5), so some of many that start and end together fail in MPI_Init.
/// This process has a temporary folder of its own while MPI starts, and needs no daemon beside it.
/// Returns "" where none can be made.
std::string initialise_alone(int& argc, char**& argv) {
  ::setenv("OMPI_MCA_ess_singleton_isolated", "1", 0);
  std::error_code failed;
  const std::string temporary = std::filesystem::temp_directory_path(failed).string();
  std::string folder = temporary + "/headflow-XXXXXX";
  if (failed || ::mkdtemp(folder.data()) == nullptr) folder.clear();
  if (!folder.empty()) ::setenv("TMPDIR", folder.c_str(), 1);
  mpi_check(MPI_Init(&argc, &argv), "MPI_Init");
  if (!folder.empty()) ::setenv("TMPDIR", temporary.c_str(), 1);
  return folder;
}

}  // namespace

MpiSession::MpiSession(int& argc, char**& argv) {
  // Shared file pointers, which nothing here uses: Open MPI's other ways to have them write the
  // file's path into buffers of 256 bytes.
  ::setenv("OMPI_MCA_sharedfp", "individual", 0);
  // The system call with which one rank reads another's memory, which containers often forbid:
  // Open MPI then complains at every message.
  ::setenv("OMPI_MCA_btl_vader_single_copy_mechanism", "none", 0);
  struct sigaction hangup = {};
  ::sigaction(SIGHUP, nullptr, &hangup);
  if (launched_rank())
    mpi_check(MPI_Init(&argc, &argv), "MPI_Init");
  else
    session_folder_ = initialise_alone(argc, argv);
  // After nohup it stays ignored, though a network's library may catch it in MPI_Init.
  if (hangup.sa_handler == SIG_IGN) ::sigaction(SIGHUP, &hangup, nullptr);
}

namespace {

/// Open MPI unloads its parts while a thread of its own may still run in them (4.1.4; seen once, on
/// a busy machine: a crash when all was done). Nothing that is loaded goes before the program does.
void keep_libraries() {
  std::vector<std::string> names;
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* names) {
        static_cast<std::vector<std::string>*>(names)->emplace_back(info->dlpi_name);
        return 0;
      },
      &names);
  for (const auto& name : names)
    if (!name.empty()) dlopen(name.c_str(), RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
}

}  // namespace

MpiSession::~MpiSession() {
  if (unwinding_.now()) return;
  keep_libraries();
  MPI_Finalize();
  std::error_code ignored;
  if (!session_folder_.empty()) std::filesystem::remove_all(session_folder_, ignored);
}

void MpiSession::abort(int exit_code) {
  MPI_Abort(MPI_COMM_WORLD, exit_code);
  std::abort();
}

Communicator::Communicator(MPI_Comm comm) : comm_(comm) {
  mpi_check(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  mpi_check(MPI_Comm_rank(comm_, &rank_), "MPI_Comm_rank");
  mpi_check(MPI_Comm_size(comm_, &size_), "MPI_Comm_size");
}

Communicator Communicator::world() {
  MPI_Comm comm = MPI_COMM_NULL;
  mpi_check(MPI_Comm_dup(MPI_COMM_WORLD, &comm), "MPI_Comm_dup");
  return Communicator(comm);
}

Communicator Communicator::self() {
  MPI_Comm comm = MPI_COMM_NULL;
  mpi_check(MPI_Comm_dup(MPI_COMM_SELF, &comm), "MPI_Comm_dup");
  return Communicator(comm);
}

Communicator Communicator::split(int group) const {
  MPI_Comm comm = MPI_COMM_NULL;
  mpi_check(MPI_Comm_split(comm_, group, rank_, &comm), "MPI_Comm_split");
  return Communicator(comm);
}

Communicator::~Communicator() {
  if (comm_ != MPI_COMM_NULL) MPI_Comm_free(&comm_);
}

Communicator::Communicator(Communicator&& other) noexcept
    : comm_(std::exchange(other.comm_, MPI_COMM_NULL)), rank_(other.rank_), size_(other.size_) {}

Communicator& Communicator::operator=(Communicator&& other) noexcept {
  std::swap(comm_, other.comm_);
  std::swap(rank_, other.rank_);
  std::swap(size_, other.size_);
  return *this;
}

void Communicator::sum(std::span<std::int64_t> values) const {
  if (size_ == 1) return;
  // Unsigned, because hashes ride along and may wrap around.
  sum_in_place(values, MPI_UINT64_T, comm_);
}

void Communicator::sum(std::span<float> values) const {
  if (size_ > 1) sum_in_place(values, MPI_FLOAT, comm_);
}

std::int64_t Communicator::max(std::int64_t value) const {
  if (size_ == 1) return value;
  mpi_check(MPI_Allreduce(MPI_IN_PLACE, &value, 1, MPI_INT64_T, MPI_MAX, comm_), "MPI_Allreduce");
  return value;
}

std::int64_t Communicator::min(std::int64_t value) const {
  if (size_ == 1) return value;
  mpi_check(MPI_Allreduce(MPI_IN_PLACE, &value, 1, MPI_INT64_T, MPI_MIN, comm_), "MPI_Allreduce");
  return value;
}

std::vector<double> Communicator::all_gather(std::span<const double> mine) const {
  const std::uint64_t own = mine.size();
  std::vector<std::uint64_t> sizes(static_cast<std::size_t>(size_));
  mpi_check(MPI_Allgather(&own, 1, MPI_UINT64_T, sizes.data(), 1, MPI_UINT64_T, comm_),
            "MPI_Allgather");
  const auto total = std::accumulate(sizes.begin(), sizes.end(), std::uint64_t{0});
  mpi_count(total, "MPI_Allgatherv");  // hence every count and offset below is an int
  const std::vector<int> counts(sizes.begin(), sizes.end());
  std::vector<int> offsets(counts.size());
  std::exclusive_scan(counts.begin(), counts.end(), offsets.begin(), 0);
  std::vector<double> all(total);
  mpi_check(MPI_Allgatherv(mine.data(), static_cast<int>(own), MPI_DOUBLE, all.data(),
                           counts.data(), offsets.data(), MPI_DOUBLE, comm_),
            "MPI_Allgatherv");
  return all;
}

void Communicator::broadcast_bytes(void* data, std::size_t size, int from) const {
  constexpr std::size_t most = std::size_t{1} << 30;  // MPI counts in int
  auto* bytes = static_cast<char*>(data);
  for (std::size_t first = 0; first < size; first += most)
    mpi_check(MPI_Bcast(bytes + first, static_cast<int>(std::min(most, size - first)), MPI_BYTE,
                        from, comm_),
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

void Communicator::barrier() const { mpi_check(MPI_Barrier(comm_), "MPI_Barrier"); }

void Communicator::sleeping_barrier() const {
  MPI_Request request = MPI_REQUEST_NULL;
  mpi_check(MPI_Ibarrier(comm_, &request), "MPI_Ibarrier");
  for (int done = 0;;) {
    mpi_check(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "MPI_Test");
    if (done != 0) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

void Communicator::share_error(int code, std::string message) const {
  code = static_cast<int>(max(code));
  if (code != 0) throw Error(static_cast<ExitCode>(code), broadcast(std::move(message)));
}

}  // namespace headflow
