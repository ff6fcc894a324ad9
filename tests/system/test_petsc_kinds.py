"""The PETSc that is found: its kind is looked at when CMake configures, and none of its functions here is
deprecated."""
import json
import os
import re
import shlex
from pathlib import Path

from harness import TOP, SystemTest, environment, execute, main

CMAKE = os.environ.get("CMAKE_COMMAND", "cmake")
BUILD = Path(os.environ.get("HEADFLOW_BUILD", "build/release")).absolute()
PROJECT = f"""\
cmake_minimum_required(VERSION 3.25)
project(kind LANGUAGES NONE)
find_package(PkgConfig REQUIRED)
include({TOP}/cmake/Petsc.cmake)
message(STATUS "found ${{PETSC_VERSION}} in ${{PETSC_PREFIX}}")
"""
DOUBLE = "#define PETSC_USE_REAL_DOUBLE 1\n"
WHOLE = DOUBLE + "#define PETSC_USE_64BIT_INDICES 1\n"


class Kinds(SystemTest):
    def petsc(self, name, configuration, version="3.22.5", arch=""):
        """The folder of a PETSc that has nothing but its description."""
        prefix = self.folder / name
        for folder in "lib/pkgconfig", "include":
            (prefix / arch / folder).mkdir(parents=True, exist_ok=True)
        (prefix / arch / "include/petscconf.h").write_text(configuration)
        (prefix / arch / "lib/pkgconfig/PETSc.pc").write_text(
            f"prefix={prefix}\nincludedir={prefix}/include\n\nName: PETSc\nDescription: a trial\nVersion: {version}\n"
            f"Cflags: -I${{includedir}} -I{prefix / arch}/include\n")
        return prefix

    def configure(self, **variables):
        (self.folder / "CMakeLists.txt").write_text(PROJECT)
        env = {name: value for name, value in environment().items() if not name.startswith("PETSC_")}
        done = execute(self.folder, [CMAKE, "--fresh", "-B", "build"], env=env | {"PKG_CONFIG_PATH": ""} | variables)
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    def test_one_that_does_not_serve_is_refused_with_words(self):
        for name, configuration, version, words in (
                ("complex", DOUBLE + "#define PETSC_USE_COMPLEX 1\n", "3.22.5", "3.22.5 in .* has complex numbers"),
                ("single", "#define PETSC_USE_REAL_SINGLE 1\n", "3.22.5", "has another precision than double"),
                ("quadruple", "# define PETSC_USE_REAL___FLOAT128 1\n", "3.22.5", "has another precision than double"),
                ("old", DOUBLE, "3.17.4", "3.18 or newer, found 3.17.4 in ")):
            with self.subTest(name):
                prefix = self.petsc(name, configuration, version)
                for variables in {"PETSC_DIR": str(prefix)}, {"PKG_CONFIG_PATH": f"{prefix}/lib/pkgconfig"}:
                    code, text = self.configure(**variables)
                    self.assertNotEqual(code, 0, text)
                    self.assertRegex(text, f"headflow needs PETSc .*{words}.*PETSC_DIR.*PKG_CONFIG_PATH")
                    self.assertIn(str(prefix), text)

    def test_none(self):
        code, text = self.configure(PKG_CONFIG_LIBDIR=str(self.folder))
        self.assertNotEqual(code, 0)
        self.assertRegex(text, "headflow needs PETSc 3.18 or newer, and pkg-config finds none: set PETSC_DIR")

    def test_integers_of_any_size_and_the_folder_that_is_meant(self):
        one, other = self.petsc("one", WHOLE), self.petsc("other", WHOLE, arch="linux-opt")
        other_path = f"{other}/linux-opt/lib/pkgconfig"
        for variables, found in (
                ({"PETSC_DIR": str(one)}, one),
                ({"PETSC_DIR": str(other), "PETSC_ARCH": "linux-opt"}, other),
                ({"PKG_CONFIG_PATH": other_path}, other),
                ({"PETSC_DIR": str(one), "PKG_CONFIG_PATH": other_path}, one)):
            with self.subTest(variables):
                code, text = self.configure(**variables)
                self.assertEqual(code, 0, text)
                self.assertIn(f"found 3.22.5 in {found}", text)


class Calls(SystemTest):
    def test_none_is_deprecated_and_no_code_is_dropped(self):
        """Compiled as with PETSc's --with-strict-petscerrorcode, where codes are an enumeration that must be used."""
        commands = json.loads((BUILD / "compile_commands.json").read_text())
        unit = next(unit for unit in commands if "/headflow.dir/" in unit["command"] and "_pch" not in unit["file"]
                    and "cmake_pch.hxx" in unit["command"])
        words = shlex.split(unit["command"].partition(" -o ")[0])
        words = [word for i, word in enumerate(words)
                 if not (word in ("-include", "-Winvalid-pch") or i and words[i - 1] == "-include")]
        strict = ["-fsyntax-only", "-O0", "-DPETSC_USE_STRICT_PETSCERRORCODE", "-Werror=deprecated-declarations",
                  "-Werror=unused-result", "-Werror=cpp"]
        for file in sorted((TOP / "src").glob("*/*.cpp")):
            if re.search(r"^#include <petsc(?!sys\.h|version\.h)", file.read_text(), re.MULTILINE) or \
                    file.name == "petsc.cpp":
                with self.subTest(str(file.relative_to(TOP))):
                    done = execute(unit["directory"], [*words, *strict, file])
                    self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    main()
