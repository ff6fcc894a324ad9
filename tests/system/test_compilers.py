"""Which compilers, processors and instruction sets the build takes, and what it says of others."""
import os
import re
from pathlib import Path

from harness import SystemTest, execute, main

CMAKE = os.environ.get("CMAKE_COMMAND", "cmake")
ROOT = Path(__file__).resolve().parents[2]

# The project's choice of an instruction set for a processor that need not be this one.
PROJECT = f"""\
cmake_minimum_required(VERSION 3.25)
project(choice CXX)
set(CMAKE_SYSTEM_PROCESSOR ${{PROCESSOR}})
foreach(name ID VERSION)
  if(COMPILER_${{name}})
    set(CMAKE_CXX_COMPILER_${{name}} ${{COMPILER_${{name}}}})
  endif()
endforeach()
include({ROOT}/cmake/Compiler.cmake)
include({ROOT}/cmake/InstructionSet.cmake)
"""


class Compilers(SystemTest):
    def configure(self, *words):
        """Exit code, all words said; in one build folder, as a user who tries one choice after the other."""
        (self.folder / "CMakeLists.txt").write_text(PROJECT)
        compiler = [f"-D{name}={os.environ[name]}" for name in ("CMAKE_CXX_COMPILER",) if name in os.environ]
        done = execute(self.folder, [CMAKE, "-S", ".", "-B", "build", "-UHEADFLOW_ARCH", "-UCOMPILER_*", *compiler,
                                     *words])
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    def test_instruction_sets(self):
        choices = {"x86_64": ["native", "x86-64-v4", "x86-64-v3", "generic"], "aarch64": ["native", "generic"]}
        for processor, allowed in choices.items():
            for value in "x86-64-v2", *(set(choices["x86_64"]) - set(allowed)):
                code, words = self.configure(f"-DPROCESSOR={processor}", f"-DHEADFLOW_ARCH={value}")
                self.assertNotEqual(code, 0)
                self.assertIn(f"HEADFLOW_ARCH is '{value}'; allowed for {processor}: {', '.join(allowed)}", words)

    def test_other_processor(self):
        code, words = self.configure("-DPROCESSOR=riscv64")
        self.assertEqual(code, 0, words)
        self.assertIn("tried on x86-64 and aarch64 alone; here is 'riscv64'", words)

    def test_width_follows_the_choice(self):
        if os.uname().machine != "x86_64":
            self.skipTest("the compiler here is for another processor")
        for value, width in (("x86-64-v4", 64), ("x86-64-v3", 32), ("generic", 16), ("x86-64-v4", 64)):
            code, words = self.configure("-DPROCESSOR=x86_64", f"-DHEADFLOW_ARCH={value}")
            self.assertEqual(code, 0, words)
            self.assertIn(f"vectors of {width} bytes", words)

    def test_compilers(self):
        for name, version, warning in (("GNU", "12.2.0", ""), ("Clang", "14.0.6", ""), ("GNU", "11.4.0", "GNU 11.4.0"),
                                       ("Clang", "13.0.1", "Clang 13.0.1"), ("NVHPC", "24.1", "here is NVHPC")):
            code, words = self.configure("-DPROCESSOR=x86_64", "-DHEADFLOW_ARCH=generic", f"-DCOMPILER_ID={name}",
                                         f"-DCOMPILER_VERSION={version}")
            self.assertEqual(code, 0, words)
            self.assertEqual("headflow has been tried with" in words, bool(warning), words)
            self.assertIn(warning, words)

    def test_public_headers_know_no_instruction_set(self):
        """A consumer is compiled without the library's options."""
        known = re.compile(r"__(AVX|SSE|FMA|ARM)|vector_size|HEADFLOW_\w+")
        self.assertEqual([str(path) for path in (ROOT / "include").rglob("*.hpp") if known.search(path.read_text())],
                         [])


if __name__ == "__main__":
    main()
