"""cmake --install, and a project elsewhere that finds the library and links it."""
import os
import stat
from pathlib import Path

from harness import SystemTest, execute, main

CMAKE = os.environ.get("CMAKE_COMMAND", "cmake")
BUILD = Path(os.environ.get("HEADFLOW_BUILD", "build/release")).absolute()

PROJECT = """\
cmake_minimum_required(VERSION 3.25)
project(user LANGUAGES C CXX)
find_package(headflow 0.1 REQUIRED)
add_executable(user user.cpp)
target_link_libraries(user PRIVATE headflow::headflow)
"""

SOURCE = """\
#include <headflow/core/mpi.hpp>
#include <headflow/model/prior.hpp>
#include <headflow/population/population_loss.hpp>

#include <iostream>

int main(int argc, char** argv) {
  const headflow::MpiSession mpi(argc, argv);
  const headflow::Communicator comm = headflow::Communicator::world();
  const headflow::Prior prior = headflow::flipping_spike(2, 2);
  const headflow::Shape shape{4, 2, 2};
  headflow::PopulationLoss loss(comm, shape, headflow::Softmax{}, prior, {.samples = 64});
  const headflow::Parameters zero = headflow::Parameters::zero(shape);
  if (comm.root()) std::cout << prior.mean().transpose() << '\\n';
  const double value = loss.evaluate(zero).loss;
  if (comm.root()) std::cout << value << '\\n';
}
"""


class Install(SystemTest):
    def run_step(self, *words):
        done = execute(self.folder, words, timeout=150)
        self.assertEqual(done.returncode, 0, f"{done.stdout}\n{done.stderr}")
        return done

    def test_install_and_use(self):
        prefix = self.folder / "prefix"
        self.run_step(CMAKE, "--install", BUILD, "--prefix", prefix)
        self.assertRegex(self.run_step(prefix / "bin/headflow", "--version").stdout, r"^headflow \d")
        self.assertIn("FILE.h5", self.run_step(prefix / "bin/headflow-plot", "--help").stdout)
        self.assertTrue((prefix / "bin/headflow-plot").stat().st_mode & stat.S_IXOTH)
        leaked = [path for path in prefix.rglob("*.cmake") if str(BUILD) in path.read_text()]
        self.assertEqual(leaked, [], "installed files point into the build folder")

        (self.folder / "CMakeLists.txt").write_text(PROJECT)
        (self.folder / "user.cpp").write_text(SOURCE)
        compilers = [f"-D{name}={os.environ[name]}" for name in ("CMAKE_CXX_COMPILER", "CMAKE_C_COMPILER")
                     if name in os.environ]  # the generator's variable is read by cmake itself
        self.run_step(CMAKE, "-S", ".", "-B", "build", *compilers, f"-DCMAKE_PREFIX_PATH={prefix}",
                      "-DCMAKE_BUILD_TYPE=Release")
        self.run_step(CMAKE, "--build", "build")
        mean, loss = self.run_step("build/user").stdout.split("\n")[:2]
        self.assertEqual([float(number) for number in mean.split()], [1.41421, 0.0])  # (sqrt(2), 0)
        self.assertAlmostEqual(float(loss), 0.75, delta=1e-6)  # zero fields: 1 - 1/L


if __name__ == "__main__":
    main()
