"""The folders are the architecture: which of them may include which, and what is public.

Reads the sources alone; nothing is built or run.
"""
import re
import unittest
from functools import cache
from pathlib import Path
from typing import NamedTuple

import standard_headers

ROOT = Path(__file__).resolve().parents[2]
PUBLIC = ROOT / "include"
PRIVATE = ROOT / "src"
# Each folder with those below it, whose headers it may include besides its own. They stand above it in this table.
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


class Library(NamedTuple):
    """Which headers are a library's, which names of its in the code, and which folders or files may have them."""
    headers: str
    names: str
    allowed: tuple[str, ...]


LIBRARIES = (
    Library(r"hdf5|H5", r"\bH5[A-Z]\w*\(", ("core", "output/provenance.cpp")),
    Library(r"mpi|\w*/mpi", r"\bMPI_\w+", ("core", "output/provenance.cpp")),
    Library(r"petsc", r"\b(Petsc|Vec|Mat|TS|Tao)[A-Z]\w*\(",
            ("core", "output/provenance.cpp", "flow/stepper_options.hpp", "flow/stepper_options.cpp",
             "flow/time_stepper.cpp", "train/minimise.cpp")),
    Library(r"toml", r"\btoml::", ("input", "sections", "sweep", "app/job.cpp")),
    Library(r"CLI/", r"\bCLI::", ("app/command_line.cpp", "app/documentation.hpp", "app/documentation.cpp")),
)
# What public headers may include besides each other and C++'s own: who uses the library must have these.
PUBLIC_LIBRARIES = ("mpi.h", "petscsys.h", "petscvec.h", "Eigen/Core")
GENERATED = ("git_revision.hpp",)
LARGEST_SHARE = 0.25


class File(NamedTuple):
    path: Path
    folder: str
    public: bool

    def __str__(self):
        return str(self.path.relative_to(ROOT))


class Include(NamedTuple):
    """One #include: what is written, and the file of this project that the compiler finds for it (None: another's)."""
    file: File
    operand: str
    target: File | None

    def __str__(self):
        return f"{self.file} includes {self.operand}"

    @property
    def name(self):
        return self.operand[1:-1]


@cache
def file_at(path):
    """The File of a path, None where no folder of the architecture has it."""
    for base, public in ((PUBLIC / "headflow", True), (PRIVATE, False)):
        if path.is_relative_to(base):
            return File(path, path.relative_to(base).parts[0], public)
    return None


@cache
def files():
    """Every header and source."""
    paths = [*PUBLIC.rglob("*.?pp"), *PRIVATE.rglob("*.?pp")]
    return [file for path in sorted(paths) if (file := file_at(path))]


@cache
def code(path):
    """The text of a file without comments, continued lines as one."""
    text = path.read_text().replace("\\\n", " ")
    return re.sub(r"""("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])')|//[^\n]*|/\*.*?\*/""",
                  lambda match: match[1] or " ", text, flags=re.DOTALL)


def resolve(file, operand):
    """The file of this project that a compiler finds: beside the including file if in quotes, then by src and
    include."""
    places = [PRIVATE, PUBLIC]
    if operand[0] == '"':
        places.insert(0, file.path.parent)
    for place in places:
        path = (place / operand[1:-1]).resolve()
        if path.is_relative_to(ROOT) and path.is_file():
            return file_at(path)
    return None


@cache
def includes():
    """Every #include of every file."""
    operands = ((file, operand.strip()) for file in files()
                for operand in re.findall(r"^[ \t]*(?:#|%:)[ \t]*(?:include|include_next|import)\b(.*)$",
                                          code(file.path),
                                          re.MULTILINE))
    return [Include(file, operand, resolve(file, operand)) for file, operand in operands]


@cache
def standard_headers_of(path):
    """Those that a file includes, or a header of the project that it includes: whose author has promised them."""
    found = set(re.findall(r"^[ \t]*#[ \t]*include[ \t]*<([a-z_]+)>", code(path), re.MULTILINE))
    for name in re.findall(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', code(path), re.MULTILINE):
        places = (base / name for base in (path.parent, PRIVATE, PUBLIC, ROOT / "tests/unit"))
        found |= next((standard_headers_of(place.resolve()) for place in places if place.is_file()), set())
    return found


class Architecture(unittest.TestCase):
    def assert_none(self, wrong):
        wrong = [str(item) for item in wrong]
        self.assertEqual(wrong, [], "\n" + "\n".join(wrong))

    def test_every_folder_has_its_floor(self):
        self.assertEqual({file.folder for file in files()}, set(BELOW))
        order = list(BELOW)
        self.assert_none(f"{folder} stands on {below}, which is not above it in the table"
                         for folder in order for below in BELOW[folder] if below not in order[:order.index(folder)])

    def test_the_page_has_the_folders(self):
        """The picture of src/README.md names all of them, and none besides."""
        picture = (ROOT / "src/README.md").read_text().partition("## Folders")[2].split("```")[1]
        listed = re.findall(r"[a-z]+", re.sub(r"\(.*?\)|reads files, starts the program", "", picture))
        self.assertEqual(sorted(set(listed) - {"python"}), sorted(BELOW))

    def test_every_file_lies_right_in_its_folder(self):
        """No headers or sources of other names or at another depth, where the other tests would not see them."""
        right = {file.path for file in files()
                 if file.path.parent == (PUBLIC / "headflow" if file.public else PRIVATE) / file.folder
                 and file.path.suffix in ((".hpp",) if file.public else (".hpp", ".cpp"))}
        self.assert_none(path.relative_to(ROOT) for base in (PUBLIC, PRIVATE) for path in sorted(base.rglob("*"))
                         if not path.is_dir() and path not in right
                         and PRIVATE / "python" not in path.parents and path.suffix != ".md")

    def test_includes_are_written_one_way(self):
        """The project's headers in quotes, by their place under src or include; all others in brackets."""
        wrong = []
        for include in includes():
            if include.target:
                base = PUBLIC if include.target.public else PRIVATE
                plain = f'"{include.target.path.relative_to(base)}"'
                if include.operand != plain or include.target.path.suffix != ".hpp":
                    wrong.append(f"{include}, which is {plain}")
            elif not re.fullmatch(r"<[\w+-][\w+./-]*>", include.operand) or ".." in include.operand:
                if include.operand not in [f'"{name}"' for name in GENERATED]:
                    wrong.append(f"{include}, which is not there, or not in brackets")
        self.assert_none(wrong)

    def test_no_include_runs_upward(self):
        self.assert_none(include for include in includes() if include.target
                         and include.target.folder not in (include.file.folder, *BELOW[include.file.folder]))

    def test_public_headers_include_public_ones_alone(self):
        self.assert_none(include for include in includes() if include.file.public
                         and not (include.target.public if include.target else
                                  re.fullmatch(r"<[a-z_]+>", include.operand) or include.name in PUBLIC_LIBRARIES))

    def test_private_headers_of_the_physics_stay_in_their_folder(self):
        self.assert_none(include for include in includes() if include.target and not include.target.public
                         and include.target.folder in PHYSICS and include.target.folder != include.file.folder
                         and str(include.target.path.relative_to(PRIVATE)) not in SHARED)

    def test_libraries_are_called_where_they_are_wrapped(self):
        """By their headers, and by their names, because a header may come with another one."""
        def forbidden(library, file):
            return file.folder not in library.allowed and f"{file.folder}/{file.path.name}" not in library.allowed

        self.assert_none([include for library in LIBRARIES for include in includes()
                          if not include.target and re.match(library.headers, include.name)
                          and forbidden(library, include.file)] +
                         [f"{file} has {found[0]}" for library in LIBRARIES for file in files()
                          if forbidden(library, file) and (found := re.search(library.names, code(file.path)))])

    def test_names_of_the_standard_library_have_their_headers(self):
        """Not by way of the compiler's own headers, of another library or of a precompiled header, which change."""
        names = standard_headers.NAMES | {None: standard_headers.COMMON}
        patterns = {header: re.compile(f"({'|'.join(words.split())})(::.*)?") for header, words in names.items()}
        wrong = []
        for path in sorted(path for base in ("src", "include", "tests") for path in (ROOT / base).rglob("*.?pp")):
            there = {None, *standard_headers_of(path)}
            for name in sorted(set(re.findall(r"\bstd::(?:ranges::)?(\w+(?:::\w+)*)", code(path)))):
                known = {header for header, pattern in patterns.items() if pattern.fullmatch(name)}
                if not known & there:
                    needed = " or ".join(f"<{header}>" for header in sorted(known)) or "what standard_headers.py lacks"
                    wrong.append(f"{path.relative_to(ROOT)} has std::{name} without {needed}")
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
        for file in files():
            lines[file.folder] += file.path.read_text().count("\n")
        largest = max(lines, key=lines.get)
        self.assertLessEqual(lines[largest] / sum(lines.values()), LARGEST_SHARE, f"{largest}: {lines}")

    def test_the_theory_is_cited_by_section(self):
        """Every "theory.md" in a comment goes on with its section or sections, which are there."""
        known = set(re.findall(r"^## (\d+)\.", (PRIVATE / "theory.md").read_text(), re.MULTILINE))
        wrong = []
        for path in sorted(path for base in ("src", "include", "tests") for path in (ROOT / base).rglob("*.?pp")):
            text = re.sub(r"[ \t]*\n[ \t]*//[/!<]*[ \t]*", " ", path.read_text())  # a comment's lines as one
            for found in re.finditer(r"theory\.md(,? sections? (\d+(?:(?:, | and | to )\d+)*))?", text):
                if not found[1] or not set(re.findall(r"\d+", found[2])) <= known:
                    wrong.append(f"{path.relative_to(ROOT)}: {text[found.start():found.start() + 40]}..")
        self.assert_none(wrong)


if __name__ == "__main__":
    unittest.main(verbosity=2)
