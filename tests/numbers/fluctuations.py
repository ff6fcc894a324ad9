"""The numbers of the page on fluctuations."""
from quantities import shares_in_bands
from statements import Page

page = Page("input/fluctuations/README.md", settings=(
    # The test unit.long (LongFluctuationsLaw) prints the table of chi-square and what is said of it.
    r"(?s:## Checked against SGD\n.*?)(?=\n## )",
    # tests/bench/fluctuations.py measures the costs.
    r"(?s:## What it costs\n.*?)(?=\n## )", r"costs there about four times .*",
    # tests/system/test_split_law.py --long compares the law of split times with SGD.
    r"- Starts differ in their delay: .*", r"(?s:The law has been compared with .*?)(?=\n## )",
    r"a chi-square of H - 1 degrees", r"D from 10\^2 to 10\^12", r"when 400 runs of SGD split", r"with 0 the accident",
    r"has 1, 10, 25, 50, 75, 90 and 99 %", r"it is 1/2, by symmetry", r"r = 0", r"t = 0", r"of the order of `1/D`",
    r"as they should", r"with 65536 plain samples"))


@page.says("Of the {} dots of m here {} % lie in the inner band and {} % in the outer one,")
def _(files):
    dots, one, _, two, _ = shares_in_bands(files, "bands")
    return dots, one, two


@page.says("has at t = {@} a standard deviation of m_12 of {} +- {} with 65536 plain samples, and of {} +- {} with",
           "`population.symmetric = true`.")
def _(files, at):
    found = [files(f"fig01-{kind}", "fluctuations/m_std", "fluctuations/m_std_stderr", "fluctuations/time")
             for kind in ("plain", "symmetric")]
    return [(deviation[-1, 0, 1], error[-1, 0, 1]) for deviation, error, _ in found], found[0][2][-1] == at
