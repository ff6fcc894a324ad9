#include "output/provenance.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <hdf5.h>
#include <petscversion.h>
#include <unistd.h>

#include <Eigen/Core>
#include <chrono>
#include <ctime>
#include <random>

#include "core/cpu_check.hpp"
#include "git_revision.hpp"
#include "headflow/core/petsc.hpp"

namespace headflow {
namespace {

std::string host_name() {
  char name[256] = "";
  gethostname(name, sizeof name - 1);
  return name;
}

std::string new_run_id() {
  std::random_device device;
  return fmt::format("{:08x}{:08x}", device(), device());
}

std::string mpi_library() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING];
  int length = 0;
  MPI_Get_library_version(text, &length);
  const std::string whole(text, static_cast<std::size_t>(length));
  return whole.substr(0, whole.find(','));
}

std::string hdf5_version() {
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  return fmt::format("{}.{}.{}", major, minor, release);
}

}  // namespace

std::string version_text() {
  return fmt::format("headflow {} ({})", HEADFLOW_VERSION, HEADFLOW_GIT_REVISION);
}

std::string utc_now() {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
}

std::map<std::string, std::string> provenance(const Communicator& comm,
                                              const std::string& command_line,
                                              const std::string& resolved_input) {
  return {{"input", resolved_input},
          {"command_line", command_line},
          {"version", version_text()},
          {"libraries", fmt::format("{}; PETSc {}.{}.{}; HDF5 {}; Eigen {}.{}.{}", mpi_library(),
                                    PETSC_VERSION_MAJOR, PETSC_VERSION_MINOR,
                                    PETSC_VERSION_SUBMINOR, hdf5_version(), EIGEN_WORLD_VERSION,
                                    EIGEN_MAJOR_VERSION, EIGEN_MINOR_VERSION)},
          {"petsc_options", petsc_options()},
          {"ranks", std::to_string(comm.size())},
          {"instruction_set", fmt::format("{} (built with {})", built_for(), HEADFLOW_ARCH)},
          {"host", comm.broadcast(host_name())},
          {"run_id", comm.broadcast(new_run_id())},
          {"started", comm.broadcast(utc_now())}};
}

std::map<std::string, std::string> file_attributes() {
  return {{"title", "learning of the single-location attention model"},
          {"program", "headflow"},
          {"version", version_text()},
          {"source", "arXiv:2603.03993"}};
}

}  // namespace headflow
