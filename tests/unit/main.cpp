// GoogleTest under MPI: the list of tests is printed before MPI starts (build tools ask for it
// without mpirun), and every rank exits with the worst result over ranks.
#include <gtest/gtest.h>

#include <cstring>

#include "headflow/core/mpi.hpp"
#include "headflow/core/petsc.hpp"

#ifdef __SANITIZE_ADDRESS__
// Open MPI unloads its plugins before the search for leaks, which then cannot tell whose they are.
extern "C" int dlclose(void*) noexcept { return 0; }
#endif

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i)
    if (std::strcmp(argv[i], "--gtest_list_tests") == 0) {
      testing::InitGoogleTest(&argc, argv);
      return RUN_ALL_TESTS();
    }
  headflow::MpiSession mpi(argc, argv);
  headflow::PetscSession petsc;
  const auto world = headflow::Communicator::world();
  testing::InitGoogleTest(&argc, argv);
  if (!world.root())
    delete testing::UnitTest::GetInstance()->listeners().Release(
        testing::UnitTest::GetInstance()->listeners().default_result_printer());
  const int result = RUN_ALL_TESTS();
  if (testing::UnitTest::GetInstance()->test_to_run_count() == 0) return 1;
  return static_cast<int>(world.max(result));
}
