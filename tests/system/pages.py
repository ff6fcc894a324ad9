"""The generated parts of pages: between <!-- generated: NAME --> and <!-- end -->.

    HEADFLOW=build/release/headflow /usr/bin/python3 tests/system/pages.py    writes them anew

test_pages.py compares.
"""
import importlib
import json
import re
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import h5py

from harness import PROGRAM, SMALL, TOP, changed, command, environment, toml_text

PART = re.compile(r"(<!-- generated: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
SGD = {"sgd": {"dimension": 100, "batch": 10, "learning_rate": 0.1, "end_time": 1.0, "replicas": 2, "outputs": 2}}
# So small that all of them take a second; together they have every group.
RUNS = (
    SGD | {"flow.end_time": 1.0, "fluctuations": {"outputs": 2, "covariance": True}},
    {"saddle": {}, "start.noise": None, "start.dimension": 1e4, "population.symmetric": True, "flow.end_time": 30.0},
    {"flow": None, "model.prior": "discrete", "model.signal": None, "model.atoms": [[1.0, 0.0], [0.0, 1.0]],
     "train": {"starts": 1, "from": "start"}, "bayes": {"samples": 4096, "standard_error": 0.1}, "prune": {},
     "maps": {"sequences": 1}},
    {"sweep": {"attention.heads": [1, 2]}, "flow.end_time": 1.0},
)
ORDER = "flow", "sgd", "fluctuations", "saddle", "plateaus", "train", "bayes", "prune", "maps", "sweep"


def in_cell(text):
    return text.replace("|", "\\|")


def keys():
    """A table for each section."""
    rows = json.loads(subprocess.run([PROGRAM, "documentation", "keys"], capture_output=True, text=True,
                                     check=True).stdout)
    text = ""
    for row in rows:
        if not row["key"]:
            text += f"\n### [{row['section']}]\n\n{row['help'][0].upper()}{row['help'][1:]}.\n"
            if any(other["section"] == row["section"] and other["key"] for other in rows):
                text += "\n| key | meaning |\n|---|---|\n"
        else:
            text += f"| `{row['key']}` | {in_cell(row['help'])} |\n"
    return text + "\n"


def variables():
    """A table for each group of the files of RUNS."""
    groups = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, changes in enumerate(RUNS):
            path = Path(folder, f"{number}.toml")
            path.write_text(toml_text(changed(SMALL, changes)))
            done = subprocess.run(command("run", path.name), cwd=folder, env=environment(), capture_output=True,
                                  text=True)
            if done.returncode:
                raise RuntimeError(done.stderr)
            with h5py.File(path.with_suffix(".h5")) as file:
                for name, group in file.items():
                    if name in ORDER and ("sweep" not in file or name == "sweep"):
                        groups.setdefault(name, {}).update(described(group))
    text = ""
    for name in ORDER:
        text += f"\n### {name}\n\n| variable | axes | units | meaning |\n|---|---|---|---|\n" + "".join(
            f"| `{variable}` | {', '.join(axes)} | {units} | {in_cell(meaning)} |\n"
            for variable, (axes, units, meaning) in groups[name].items())
    return text + "\n"


def described(group):
    """{name: (axes, units, long name)} of all variables, axes first."""
    found = {}
    for name, data in sorted(group.items(), key=lambda item: (not h5py.h5ds.is_scale(item[1].id), item[0])):
        axes = [] if h5py.h5ds.is_scale(data.id) else [Path(scale[0].name).name for scale in data.dims if len(scale)]
        units, meaning = (data.attrs.get(key, b"").decode() for key in ("units", "long_name"))
        if meaning:
            found[name] = axes, units, meaning
    return found


def scaling():
    """Ranks at which the flow is half as efficient, by the model of tests/bench/scaling.py."""
    sys.path.insert(0, str(TOP / "tests/bench"))
    return importlib.import_module("scaling").table()


# Of what one can add: its kind, then file, first and last line of each piece.
PIECES = {
    "An activation": (
        ("include/headflow/model/attention.hpp", r"struct SoftmaxOne \{", r"\};"),
        ("include/headflow/model/attention.hpp", r"using Activation =", r".*;"),
        ("src/model/attention_formulas.hpp", r"inline void SoftmaxOne::forward", r"\}"),
        ("src/model/attention_formulas.hpp", r"inline void SoftmaxOne::backward", r"\}")),
    "A law of theta": (
        ("include/headflow/model/law.hpp", r"struct MixtureLaw \{", r"\};"),
        ("include/headflow/model/prior.hpp", r"  using Law =", r".*;")),
    "A prior by name": (("src/sections/model_section.cpp", r'      \{"canonical-spikes",', r".*\}\},"),),
    "A section": (
        ("src/sections/bayes_section.hpp", r"class BayesSection", r"\};"),
        ("src/sections/bayes_section.cpp", r"void BayesSection::run", r"\}"),
        ("src/sections/registry.cpp", r"Sections::Sections\(\)", r".*\{")),
    "A key": (
        ("src/sections/model_section.hpp", r"  std::int64_t tokens_", r".*;"),
        ("src/sections/model_section.cpp", r'  visitor.key\(\{"tokens"', r".*;")),
    "A variable": (("src/sections/state_columns.cpp", r'      \{\{"q",', r"       true\},"),),
    "A panel": (
        ("src/python/headflow/plot/series.py", r"def cosine_curves", r"            for "),
        ("src/python/headflow/plot/series.py", r'    "cosine": Panel', r".*\),")),
}


def piece(file, first, last):
    """The lines of a file from the one that begins as `first` to the next that begins as `last`, with their file."""
    lines = (TOP / file).read_text().splitlines()
    begin = next(i for i, line in enumerate(lines) if re.match(first, line))
    end = next(i for i in range(begin, len(lines)) if re.match(last, lines[i]))
    kind, comment = ("py", "#") if file.endswith(".py") else ("cpp", "//")
    return f"```{kind}\n{comment} {file}\n" + textwrap.dedent("\n".join(lines[begin:end + 1])) + "\n```\n"


def pieces():
    """What exists of each kind, as it stands in the sources."""
    return "".join(f"\n### {kind}\n\n" + "\n".join(piece(*one) for one in found)
                   for kind, found in PIECES.items()) + "\n"


PARTS = {"pieces": pieces, "keys": keys, "variables": variables, "scaling": scaling}


def pages():
    """All pages of the project."""
    return [path for folder in ("", "src", "jobs", "input", "tests") for path in sorted(
        (TOP / folder).glob("*.md" if not folder else "**/*.md"))]


def renewed(text):
    """The page with its generated parts made anew."""
    return PART.sub(lambda match: match[1] + PARTS[match[2]]() + match[4], text)


if __name__ == "__main__":
    for page in pages():
        before = page.read_text()
        after = renewed(before)
        if after != before:
            page.write_text(after)
            print(f"pages: {page.relative_to(TOP)} is written anew")
