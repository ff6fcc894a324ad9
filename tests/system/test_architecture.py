"""The folders are the architecture: which of them may include which, and what is public.

Reads the sources alone; nothing is built or run.
"""
import re
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Each folder with those below it, whose headers it may include besides its own.
BELOW = {
    "core": (),
    "model": ("core",),
    "population": ("core", "model"),
    "flow": ("core", "model", "population"),
    "sgd": ("core", "model", "population"),
    "train": ("core", "model", "population"),
    "saddle": ("core", "model", "population", "flow"),
    "input": ("core",),
    "restart": ("core", "input"),
    "output": ("core", "input", "restart"),
}
PHYSICS = ("model", "population", "flow", "sgd", "train", "saddle")
BELOW["sections"] = tuple(BELOW)
BELOW["sweep"] = tuple(BELOW)
BELOW["app"] = tuple(BELOW)
# Headers beside the sources of a physics folder are its own, but for these.
SHARED = ("model/attention_formulas.hpp", "model/law_formulas.hpp", "population/sample_means.hpp")
# Libraries that only some folders may call, by a word of their headers.
LIBRARIES = {
    r"hdf5": ("core", "output/provenance.cpp"),
    r"mpi\.h": ("core",),
    r"petsc": ("core", "output/provenance.cpp", "flow/time_stepper.cpp", "train/minimise.cpp"),
    r"toml": ("input", "sections", "sweep"),
    r"CLI/": ("app/command_line.cpp",),
}
LARGEST_SHARE = 0.25


def files():
    """(folder, path, whether it is public) of every header and source."""
    for path in sorted(ROOT.glob("include/headflow/*/*.hpp")):
        yield path.parent.name, path, True
    for pattern in ("src/*/*.hpp", "src/*/*.cpp"):
        for path in sorted(ROOT.glob(pattern)):
            yield path.parent.name, path, False


def includes(path):
    """The names in quotes, then those in brackets, that a file includes."""
    text = path.read_text()
    return re.findall(r'#include "([^"]+)"', text), re.findall(r"#include <([^>]+)>", text)


class Architecture(unittest.TestCase):
    def assert_none(self, wrong):
        self.assertEqual(wrong, [], "\n" + "\n".join(wrong))

    def test_every_folder_has_its_floor(self):
        self.assertEqual({folder for folder, _, _ in files()}, set(BELOW))

    def test_no_include_runs_upward(self):
        wrong = []
        for folder, path, _ in files():
            for name in includes(path)[0]:
                target = name.removeprefix("headflow/").split("/")[0]
                if target != folder and target in BELOW and target not in BELOW[folder]:
                    wrong.append(f"{path.relative_to(ROOT)} includes {name}")
        self.assert_none(wrong)

    def test_every_include_is_there(self):
        wrong = []
        for _, path, _ in files():
            for name in includes(path)[0]:
                base = ROOT / "include" if name.startswith("headflow/") else ROOT / "src"
                if not (base / name).is_file() and name != "git_revision.hpp":
                    wrong.append(f"{path.relative_to(ROOT)} includes {name}")
        self.assert_none(wrong)

    def test_public_headers_include_public_ones_alone(self):
        wrong = [f"{path.relative_to(ROOT)} includes {name}"
                 for _, path, public in files() if public
                 for name in includes(path)[0] if not name.startswith("headflow/")]
        self.assert_none(wrong)

    def test_private_headers_of_the_physics_stay_in_their_folder(self):
        wrong = []
        for folder, path, _ in files():
            for name in includes(path)[0]:
                target = name.split("/")[0]
                if target in PHYSICS and target != folder and name not in SHARED:
                    wrong.append(f"{path.relative_to(ROOT)} includes {name}")
        self.assert_none(wrong)

    def test_libraries_are_called_where_they_are_wrapped(self):
        wrong = []
        for folder, path, _ in files():
            for name in includes(path)[1]:
                for library, allowed in LIBRARIES.items():
                    if re.match(library, name) and folder not in allowed and f"{folder}/{path.name}" not in allowed:
                        wrong.append(f"{path.relative_to(ROOT)} includes <{name}>")
        self.assert_none(wrong)

    def test_the_registry_alone_knows_sections_by_name(self):
        names = "|".join(path.stem.removesuffix("_section") for path in ROOT.glob("src/sections/*_section.cpp"))
        wrong = []
        for folder, path, _ in files():
            if folder in ("input", "output", "restart", "sweep", "app"):
                code = re.sub(r"//.*", "", path.read_text())
                wrong += [f"{path.relative_to(ROOT)} has {word}"
                          for word in re.findall(rf'"-?(?:{names})[._"]\w*|(?:{names})_section\.hpp', code)
                          if word != '"start_hash']  # a name in the provenance
        self.assert_none(wrong)

    def test_no_folder_has_more_than_a_quarter_of_the_code(self):
        lines = dict.fromkeys(BELOW, 0)
        for folder, path, _ in files():
            lines[folder] += path.read_text().count("\n")
        largest = max(lines, key=lines.get)
        self.assertLessEqual(lines[largest] / sum(lines.values()), LARGEST_SHARE, f"{largest}: {lines}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
