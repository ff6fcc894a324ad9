"""cmake --install, and a project elsewhere that finds the library and links it."""
import json
import os
import re
import shlex
import shutil
import stat
import sys
from pathlib import Path

from harness import SystemTest, environment, execute, main

CMAKE = os.environ.get("CMAKE_COMMAND", "cmake")
BUILD = Path(os.environ.get("HEADFLOW_BUILD", "build/release")).absolute()

PROJECT = """\
cmake_minimum_required(VERSION 3.25)
project(user LANGUAGES CXX)
find_package(headflow 0.1 REQUIRED)
add_executable(user user.cpp)
target_link_libraries(user PRIVATE headflow::headflow)
"""
# One that can do without.
OPTIONAL = """\
cmake_minimum_required(VERSION 3.25)
project(user LANGUAGES CXX)
if(WANTED)
  find_package(headflow 0.1 REQUIRED)
endif()
find_package(headflow 0.1 QUIET)
if(headflow_FOUND OR TARGET headflow::headflow)
  message(FATAL_ERROR "found what cannot be used")
endif()
"""

SOURCE = """\
#include <headflow/core/mpi.hpp>
#include <headflow/core/petsc.hpp>
#include <headflow/flow/flow.hpp>
#include <headflow/model/model.hpp>
#include <headflow/model/start.hpp>
#include <headflow/population/population_loss.hpp>
#include <headflow/saddle/saddle.hpp>
#include <headflow/saddle/unspecialized.hpp>
#include <headflow/sgd/run_sgd.hpp>
#include <headflow/train/bayes_risk.hpp>
#include <headflow/train/minimise.hpp>

#include <iostream>

using namespace headflow;

int main(int argc, char** argv) {
  const MpiSession mpi(argc, argv);
  const PetscSession petsc;
  const Communicator comm = Communicator::world();
  const Shape shape{4, 2, 2};
  const Model model(shape, Softmax{}, flipping_spike(2, 2));
  std::cout << "mean " << model.prior.mean().transpose() << '\\n';
  {
    PopulationLoss few(comm, model, {.samples = 64});
    std::cout << "zero " << few.evaluate(Parameters::zero(shape)).loss << '\\n';
  }

  // Matrices that this program allocates, the library reads and gives back, and the reverse.
  const Model skewed(shape, Softmax{}, flipping_spike(2, 2), Matrix{{1, 0}, {0.5, 1}});
  PopulationLoss tilted(comm, skewed, {.samples = 1024});
  Parameters at = noisy_start(shape, 0.3, 1.0, 1).parameters;
  const Matrix along = Matrix::Random(at.K.rows(), at.K.cols());
  const double slope = tilted.evaluate(at).gradient.K.cwiseProduct(along).sum();
  at.K += 1e-4 * along;
  const double above = tilted.evaluate(at).loss;
  at.K -= 2e-4 * along;
  std::cout << "slope " << slope << ' ' << (above - tilted.evaluate(at).loss) / 2e-4 << '\\n';

  const Sampling sampling{.samples = 4096};
  PopulationLoss loss(comm, model, sampling);
  const Parameters start = noisy_start(shape, 0.1, 1.0, 1).parameters;
  std::cout << "flow";
  const FlowResult flow = run_flow(loss, start, {.end_time = 2, .output_times = {0, 1, 2}},
                                   {.record = [](const FlowRecord& record, const Stages&) {
                                     std::cout << ' ' << record.loss.mean.loss;
                                   }});
  std::cout << "\\nsgd";
  const SgdProblem problem{.model = model, .engine = Engine::overlaps, .dimension = 1000,
                           .batch = 8, .learning_rate = 0.01};
  run_sgd(comm, problem, start, {.replicas = 2, .output_steps = {0, 3}}, loss,
          {.record = [](const SgdRecord& record) { std::cout << ' ' << record.time; }});

  const UnspecializedManifold manifold(model);
  const Saddle saddle = find_saddle(loss, manifold, manifold.projection(flow.parameters));
  std::cout << "\\nsaddle " << saddle.loss.value << ' ' << saddle.gradient_norm;
  const Minimum minimum = minimise(loss, flow.parameters, {.gradient_tolerance = 1e-3});
  std::cout << "\\nminimum " << minimum.loss;
  const BayesRisk bayes = bayes_risk(comm, model, sampling, {.standard_error = 1e-2});
  std::cout << "\\nbayes " << bayes.risk << '\\n';
}
"""
# With all these the library was built, yet nothing of them may be needed to compile with it.
BUILT_WITH = re.compile(r"/(boost|toml\+\+|CLI|Random123|fmt)/|/hdf5\b|/H5\w*\.h$", re.IGNORECASE)


class Install(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.prefix = cls.shared / "prefix"
        cls.installed = execute(cls.shared, [CMAKE, "--install", BUILD, "--prefix", cls.prefix])

    def run_step(self, *words, **options):
        done = execute(self.folder, words, **options)
        self.assertEqual(done.returncode, 0, f"{done.stdout}\n{done.stderr}")
        return done

    def configure(self, project, *words, **options):
        """cmake on a project's text, which may fail."""
        (self.folder / "CMakeLists.txt").write_text(project)
        compilers = [f"-D{name}={os.environ[name]}" for name in ("CMAKE_CXX_COMPILER", "CMAKE_C_COMPILER")
                     if name in os.environ]  # the generator's variable is read by cmake itself
        return execute(self.folder, [CMAKE, "--no-warn-unused-cli", "-S", ".", "-B", "build", *compilers,
                                     f"-DCMAKE_PREFIX_PATH={self.prefix}", "-DCMAKE_BUILD_TYPE=Release", *words],
                       **options)

    def test_what_is_installed(self):
        self.assertEqual(self.installed.returncode, 0, self.installed.stderr)
        self.assertRegex(self.run_step(self.prefix / "bin/headflow", "--version").stdout, r"^headflow \d")
        self.assertIn("FILE.h5", self.run_step(self.prefix / "bin/headflow-plot", "--help").stdout)
        self.assertTrue((self.prefix / "bin/headflow-plot").stat().st_mode & stat.S_IXOTH)
        self.assertEqual(sorted(path.name for path in (self.prefix / "bin").iterdir()), ["headflow", "headflow-plot"])
        leaked = [path for path in self.prefix.rglob("*.cmake") if str(BUILD) in path.read_text()]
        self.assertEqual(leaked, [], "installed files point into the build folder")
        sources = Path(__file__).resolve().parents[2] / "include"
        self.assertEqual(*(sorted(path.relative_to(base) for path in base.rglob("*.hpp"))
                           for base in (sources, self.prefix / "include")))

    def test_python_package(self):
        """The module file names it; it takes the program and the job scripts of its own prefix."""
        [modulefile] = (self.prefix / "share/modulefiles/headflow").iterdir()
        package = re.search(r"PYTHONPATH \$prefix/(\S+)", modulefile.read_text())[1]
        variables = environment(PYTHONPATH=str(self.prefix / package), PYTHONDONTWRITEBYTECODE="1")
        variables.pop("HEADFLOW", None)
        text = ("import headflow.program as p; p.table(); "
                "print(p.program(), p.job_script('run.sh'), p.job_script('common.sh'))")
        found = self.run_step(sys.executable, "-c", text, env=variables).stdout.split()
        self.assertEqual(found, [str(self.prefix / place) for place in (
            "bin/headflow", "share/headflow/jobs/run.sh", "share/headflow/jobs/common.sh")])

    def test_find_and_use(self):
        for build_type in "Release", "Debug":
            with self.subTest(build_type=build_type):
                self.find_and_use(build_type)

    def find_and_use(self, build_type):
        shutil.rmtree(self.folder / "build", ignore_errors=True)
        (self.folder / "user.cpp").write_text(SOURCE)
        done = self.configure(PROJECT, "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON", "-DCMAKE_DISABLE_FIND_PACKAGE_Boost=ON",
                              f"-DCMAKE_BUILD_TYPE={build_type}")
        self.assertEqual(done.returncode, 0, done.stderr)
        cache = (self.folder / "build/CMakeCache.txt").read_text()
        self.assertNotRegex(cache, r"(?i)boost_dir|tomlpp|cli11|random123", "looked for what a consumer does not need")

        [unit] = json.loads((self.folder / "build/compile_commands.json").read_text())
        self.assertNotRegex(unit["command"], r"(?i)hdf5|boost|fmt",
                            "paths or definitions of libraries that are linked only")
        self.assertNotRegex(unit["command"], r" -(m|ffp-)[a-z]", "options of the library's own instruction set")
        words = shlex.split(unit["command"])
        output = words.index("-o")
        headers = execute(unit["directory"], words[:output] + words[output + 2:] + ["-M"]).stdout.split()
        self.assertIn(str(self.prefix / "include/headflow/flow/flow.hpp"), headers)
        self.assertEqual([path for path in headers if BUILT_WITH.search(path)], [])

        self.run_step(CMAKE, "--build", "build")
        lines = [line.split() for line in self.run_step("build/user", env=environment()).stdout.splitlines()]
        found = {words[0]: [float(word) for word in words[1:]] for words in lines}
        self.assertEqual(found["mean"], [1.41421, 0.0])  # (sqrt(2), 0)
        self.assertAlmostEqual(found["zero"][0], 0.75, delta=1e-6)  # zero fields: 1 - 1/L
        self.assertAlmostEqual(*found["slope"], delta=1e-5)
        self.assertNotEqual(found["slope"][0], 0)
        self.assertEqual(found["flow"], sorted(found["flow"], reverse=True))  # the loss only falls
        self.assertEqual((len(found["flow"]), found["sgd"]), (3, [0.0, 0.03]))
        self.assertLess(found["saddle"][1], 1e-6)
        # Theory, sections 7 and 8: the saddle lies above the minimum, that above the Bayes risk .343.
        self.assertLess(found["bayes"][0], found["minimum"][0])
        self.assertLess(found["minimum"][0], found["saddle"][0])
        self.assertAlmostEqual(found["bayes"][0], 0.343, delta=0.03)

    def test_what_is_missing(self):
        """A project that can do without headflow goes on, one that cannot is told the reason."""
        nothing = self.folder / "nothing"
        nothing.mkdir()
        hidden = environment(PKG_CONFIG_LIBDIR=str(nothing), PKG_CONFIG_PATH=str(nothing))
        moved = self.folder / "moved"  # to a machine without that HDF5
        shutil.copytree(self.prefix, moved)
        for config in moved.rglob("headflowConfig.cmake"):
            config.write_text(re.sub(r"[^\";]*/libhdf5\.", f"{nothing}/libhdf5.", config.read_text()))
        for prefix, variables, reason in ((self.prefix, hidden, "PETSc 3.18 or newer"),
                                          (moved, environment(), f"{nothing}/libhdf5")):
            shutil.rmtree(self.folder / "build", ignore_errors=True)
            for wanted in ("OFF", "ON"):
                done = self.configure(OPTIONAL, f"-DCMAKE_PREFIX_PATH={prefix}", f"-DWANTED={wanted}", env=variables)
                if wanted == "OFF":
                    self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
                else:
                    self.assertNotEqual(done.returncode, 0)
                    self.assertIn(reason, " ".join(done.stderr.split()))

    def test_libraries_are_found_from_the_program(self):
        """Those of the same prefix, wherever it is, and those that stood outside the system's folders."""
        found = execute(self.folder, ["readelf", "-d", self.prefix / "bin/headflow"]).stdout
        self.assertRegex(found, r"R(UN)?PATH.*\[\$ORIGIN/\.\./lib")

    def test_manual_pages(self):
        """Every command, option and key, and nothing that groff warns of."""
        pages = {}
        for name in ("headflow", "headflow-plot"):
            page = self.prefix / f"share/man/man1/{name}.1"
            done = execute(self.folder, ["groff", "-man", "-ww", "-Tutf8", "-rLL=200n", page])
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            pages[name] = re.sub(".\x08|\x1b\\[[0-9;]*m", "", done.stdout).replace("\u2010", "-").replace("\u2212", "-")
        for program, page in pages.items():
            shown = self.run_step(self.prefix / "bin" / program, "--help").stdout
            if program == "headflow":
                shown += "".join(self.run_step(self.prefix / "bin/headflow", command, "--help").stdout
                                 for command in ("run", "check", "info", "merge", "help", "explain"))
                shown += self.run_step(self.prefix / "bin/headflow", "help", "keys").stdout
            words = set(re.findall(r"--[a-z-]+|^  [a-z_]{3,}|^\[[a-z]+\]", shown, re.MULTILINE)) - {"--help-all"}
            self.assertGreater(len(words), 6)
            self.assertEqual([word for word in words if word.strip() not in page], [], program)

    def complete(self, program, *words):
        """What bash offers for the last word."""
        script = """source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
                    "_${1//-/_}"; printf '%s\\n' "${COMPREPLY[@]}" """
        file = self.prefix / "share/bash-completion/completions" / program
        done = self.run_step("bash", "-c", script, "bash", file, program, *words)
        self.assertEqual(done.stderr, "")
        return done.stdout.split()

    def test_completion(self):
        self.assertEqual(self.complete("headflow", ""),
                         ["run", "check", "info", "merge", "help", "explain", "--help", "--version"])
        self.assertEqual(self.complete("headflow", "explain", "model.tok"), ["model.tokens"])
        self.assertEqual(self.complete("headflow", "help", "ke"), ["keys"])
        self.assertEqual(self.complete("headflow", "run", "--max"), ["--max-walltime"])
        self.assertEqual(self.complete("headflow", "run", "x.toml", "--set", "sgd.batch"), ["sgd.batch="])
        self.assertIn("model.tokens=", self.complete("headflow", "check", "x.toml", "--set", ""))
        self.assertEqual(self.complete("headflow", "run", "--restart", "au"), ["auto"])
        self.assertEqual(self.complete("headflow", "merge", "--f"), ["--force"])
        self.assertEqual(self.complete("headflow", "info", "x"), [])  # hence names of files
        self.assertEqual(self.complete("headflow-plot", "--panels", "cosine-"), ["cosine-map"])
        self.assertEqual(self.complete("headflow-plot", "--panels", "loss,pl"), ["loss,plane"])
        self.assertIn("--log-time", self.complete("headflow-plot", "x.h5", "--"))

    def test_module_file(self):
        [module] = (self.prefix / "share/modulefiles/headflow").iterdir()
        self.assertIn(f"headflow {module.name} ", self.run_step(self.prefix / "bin/headflow", "--version").stdout)
        self.assertTrue(module.read_text().startswith("#%Module"))
        if not shutil.which("tclsh"):
            self.skipTest("no tclsh")
        (self.folder / "load.tcl").write_text("""proc module-whatis {text} {}; proc conflict {name} {}
            proc prepend-path {name path} {puts "$name=$path"}
            set ModulesCurrentModulefile [lindex $argv 0]; source $ModulesCurrentModulefile""")
        lines = self.run_step("tclsh", "load.tcl", module).stdout.splitlines()
        paths = dict(line.split("=") for line in lines)
        self.assertEqual(paths["PATH"], str(self.prefix / "bin"))
        for path in paths.values():
            self.assertTrue(Path(path).is_dir(), path)


if __name__ == "__main__":
    main()
