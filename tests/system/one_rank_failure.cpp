// Fails in a given place of the program, with a given kind of error, on one rank or on all:
//   one_rank_failure PLACE ERROR RANK      RANK = -1: all ranks
// What test_one_rank.py demands is that all ranks end soon, with the error's exit code and message.
#include <hdf5.h>

#include <cstdlib>
#include <functional>
#include <map>
#include <new>
#include <string>

#include "core/data_file.hpp"
#include "core/exact_sum.hpp"
#include "core/mailbox.hpp"
#include "core/report.hpp"
#include "headflow/core/control.hpp"
#include "headflow/core/error.hpp"
#include "headflow/core/mpi.hpp"
#include "headflow/core/petsc.hpp"

namespace {

using namespace headflow;

const std::map<std::string, std::function<void(int rank)>> errors = {
    {"input", [](int) { throw InputError("no such thing"); }},
    {"numerical", [](int) { throw NumericalError("no such number"); }},
    {"file", [](int) { throw FileError("no such file"); }},
    {"memory", [](int) { throw std::bad_alloc(); }},
    {"interrupt", [](int) { throw Interrupt(); }},
    {"unknown", [](int) { throw 1; }},
    {"own", [](int rank) { throw InputError("trouble number " + std::to_string(rank)); }},
};

/// Where a rank may be when it fails: each calls `fail` on every rank, which throws on one, and
/// then meets the others again.
const std::map<std::string, std::function<void(const Communicator&, const std::function<void()>&)>>
    places = {
        {"plain",
         [](const Communicator& comm, auto& fail) {
           fail();
           comm.barrier();
         }},
        {"mailbox",
         [](const Communicator& comm, auto& fail) {
           Mailbox mailbox(comm);
           mailbox.send(std::string(100'000'000, 'x'));  // never received, too long to be buffered
           fail();
           while (comm.root()) mailbox.receive();
         }},
        {"petsc",
         [](const Communicator& comm, auto& fail) {
           const PetscSession petsc({"-flow_nonsense", "1"});
           const PetscVector vector(3);
           fail();
           comm.barrier();
         }},
        {"split",
         [](const Communicator& comm, auto& fail) {
           const Communicator half = comm.split(comm.rank() % 2);
           half.barrier();
           fail();
           comm.barrier();
         }},
        {"sum",
         [](const Communicator& comm, auto& fail) {
           ExactSums sums(2);
           sums.add(0, 1);
           fail();
           sums.reduce(comm);
         }},
        {"file",
         [](const Communicator& comm, auto& fail) {
           const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
           H5Pset_fapl_mpio(access, comm.handle(), MPI_INFO_NULL);
           const Hdf5SharedFile file(H5Fcreate("open.h5", H5F_ACC_TRUNC, H5P_DEFAULT, access),
                                     "open");
           fail();
           comm.barrier();
         }},
        // A slab that lies outside its dataset on one rank, while the others write theirs.
        {"slab",
         [](const Communicator& comm, auto& fail) {
           std::size_t first = static_cast<std::size_t>(comm.rank());
           try {
             fail();
           } catch (...) {
             first = 1000;
           }
           DataFile content;
           DataGroup& group = content.add_group("group");
           group.dimensions = {
               {"x", std::vector<double>(static_cast<std::size_t>(comm.size())), false, "1", "x"}};
           Variable all{"all", {"x"}, {1.0}, "1", "all", Slab{{first}, {1}}};
           group.variables = {all};
           write_data_file(comm, "slab.h5", content);
         }},
        // The error of rank 0 alone is shared.
        {"root", [](const Communicator& comm, auto& fail) { comm.on_root([&] { fail(); }); }},
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 1;
  const MpiSession mpi(argc, argv);
  return run_and_report([&] {
    const Communicator comm = Communicator::world();
    const int rank = std::atoi(argv[3]);
    places.at(argv[1])(comm, [&] {
      if (rank < 0 || rank == comm.rank()) errors.at(argv[2])(comm.rank());
    });
    return 0;
  });
}
