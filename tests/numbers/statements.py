"""What pages state in numbers, and how these are computed from output files.

A page's statements are pieces of its text with holes for numbers, each with a function that computes them:
    {}      the computed value, rounded to the printed digits
    {~}     about: within 10 %, or the rounding if that is more
    {<}     at most the printed number, {>} at least
    {w}     a number in words, up to sixteen
    {@}     a condition, such as the time of a result: the function is given it
Values beyond the holes are truths: what the piece says in words.
"""
import re
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

TOP = Path(__file__).resolve().parents[2]
ABOUT = 0.1      # relative, of {~}
TIE = 0.02       # of a unit of the last printed digit: by how much a value may miss its rounding
NUMBER = r"(?:-?(?:\d{1,3}(?:,\d{3})+|\d+(?:\.\d+)?|\.\d+)(?:e[-+]?\d+| 10\^\d+)?)"
POWER = r"(?:10\^-?\d+)"
ANY = f"(?:{POWER}|{NUMBER})"
WORDS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen".split()
HOLE = re.compile(r"\{([~<>w@]?)\}")
# No results, on any page: settings, names, costs, links, commands. What they match is not looked at.
SETTINGS = (
    r"`[^`]*`", r"!\[[^\]]*\]\([^)]*\)", r"\]\([^)]*\)", r"https?://\S+", r"<!--.*?-->",
    r"arXiv:[\d.]+", r"^#+ .*", r"\bsoftmax-1\b", r"\bSoftmax-1\b",
    r"\b[LHFDBn] = [\d,^ ]*\d", r"\bnu(?:_\d)? = (?:\([\d., ]+\)|[\d.]+)", r"\bkappa = [\d.]+",
    r"[Ff]igures? \[?\d+\]?(?:(?:, | and )\d+)*", r"Props?\. [IV]+\.\d(?:, [IV]+\.\d)*", r"Lemma [IVA]+\.\d",
    r"\b[a-z]+_\w*\d\w*\b", r"\b(?i:feature|head)s? \d\b(?: (?:and|or|to) \d\b)?",
)


class Statement(NamedTuple):
    """A piece of a page, and what computes its numbers from the files."""
    page: str
    piece: str
    compute: object

    @property
    def pattern(self):
        """With a group for each hole."""
        numbers = {"w": rf"\b(?i:{'|'.join(WORDS)})\b"}
        return re.compile("".join(f"({numbers.get(part, ANY)})" if i % 2 else re.escape(part)
                                  for i, part in enumerate(HOLE.split(self.piece))))

    @property
    def kinds(self):
        return HOLE.findall(self.piece)

    def matches(self, text):
        return list(self.pattern.finditer(text))


class Row(NamedTuple):
    """One number of a page against what is computed."""
    page: str
    piece: str
    printed: str
    computed: str
    good: bool


class Page:
    """A page with its statements, in the order of their definition; PAGES has all of them."""

    def __init__(self, name, settings=()):
        self.name, self.statements, self.own_settings, self.settings = name, [], settings, (*SETTINGS, *settings)
        PAGES.append(self)

    def says(self, *pieces):
        """A decorator of what computes the numbers of a piece, which is written in one or several lines."""
        def keep(compute):
            self.statements.append(Statement(self.name, " ".join(pieces), compute))
            return compute
        return keep

    def text(self):
        return flat((TOP / self.name).read_text())


PAGES = []


class Files:
    """Variables of the output files of a folder."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def __call__(self, name, *variables):
        """Arrays of NAME.h5; of one variable the array alone."""
        with h5py.File(self.folder / f"{name}.h5", "r") as file:
            found = [np.array(file[variable]) for variable in variables]
        return found[0] if len(found) == 1 else found

    def text(self, name):
        return (self.folder / name).read_text()


def flat(text):
    """A page without its blocks of code, each paragraph, list or table in one line."""
    text = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return "\n".join(" ".join(part.split()) for part in re.split(r"\n\s*\n", text))


def value_of(printed):
    """The number, and the unit of its last digit."""
    if printed.lower() in WORDS:
        return float(WORDS.index(printed.lower())), 0.0
    digits = printed.replace(",", "")
    if printed.startswith("10^"):
        return 10.0 ** int(printed[3:]), 0.0
    mantissa, _, exponent = re.sub(r" 10\^", "e", digits).partition("e")
    unit = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    return float(mantissa) * 10.0 ** int(exponent or 0), unit


def right(kind, printed, computed):
    """Whether a printed number is what is computed, as the kind of its hole says."""
    value, unit = value_of(printed)
    if not np.isfinite(computed):
        return False
    slack = (0.5 + TIE) * unit + 1e-9 * abs(value)
    return {"": abs(computed - value) <= slack,
            "w": computed == value,
            "~": abs(computed - value) <= max(slack, ABOUT * abs(value)),
            "<": computed <= value + 1e-9 * abs(value),
            ">": computed >= value - 1e-9 * abs(value)}[kind]


def flattened(values):
    """The numbers and truths in nested lists, tuples and arrays."""
    if isinstance(values, tuple | list) or np.ndim(values):
        for value in values:
            yield from flattened(value)
    else:
        yield values


def judged(statement, files):
    """A row for each number, and for each truth besides."""
    found = statement.matches(flat((TOP / statement.page).read_text()))
    if len(found) != 1:
        return [Row(statement.page, statement.piece, f"found {len(found)} times", "", False)]
    holes = list(zip(statement.kinds, found[0].groups()))
    try:
        values = statement.compute(files, *(value_of(printed)[0] for kind, printed in holes if kind == "@"))
    except (OSError, KeyError) as error:
        return [Row(statement.page, statement.piece, found[0][0], str(error).partition(",")[0], False)]
    values = list(flattened(values))
    holes = [hole for hole in holes if hole[0] != "@"]
    if len(values) < max(len(holes), 1):
        raise ValueError(f"{statement.piece}: {len(values)} values")
    rows = [Row(statement.page, statement.piece, printed, f"{float(value):.5g}", right(kind, printed, float(value)))
            for (kind, printed), value in zip(holes, values)]
    return rows + [Row(statement.page, statement.piece, "", str(bool(truth)), bool(truth))
                   for truth in values[len(holes):]]


def unchecked(page, text=None):
    """The numbers of a page that are no settings and in no hole of a statement, each with the words around it."""
    text = text or page.text()
    known = [match.span() for pattern in page.settings for match in re.finditer(pattern, text, re.MULTILINE)]
    for statement in page.statements:
        for match in statement.matches(text):
            known += [match.span(i + 1) for i in range(len(match.groups()))]
    return [text[max(0, match.start() - 40):match.end() + 30]
            for match in re.finditer(rf"(?<![\w.^]){ANY}", text)
            if not any(begin <= match.start() and match.end() <= end for begin, end in known)]
