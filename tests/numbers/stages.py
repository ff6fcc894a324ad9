"""The numbers of the page on stages."""
import numpy as np

from statements import Page

TABLES = r"\| model(?:, D)? \| (?:next )?feature \|.*"  # of stages.md, below
page = Page("input/stages/README.md", settings=(
    TABLES, r"[Dd] from 10\^2 to 10\^12", r"\(D = 10\^12\)", r"\(mu, 0\)", r"variance 3", r"`r = 0`",
    r"r = 0(?: attracts)?", r"u away from 0", r"\(see 5\)", r"2\^F", r"observed 1 - - - - 2", r"heads - 1 times",
    r"(?<=a spread of )0\.0?3"))


@page.says("saddle: loss {} +- {}, gradient norm {@}, heads split at the rates {} +- {}, {} +- {}")
def _(files, rounding):
    names = "loss", "loss_stderr", "split_rate", "split_rate_stderr", "gradient_norm"
    loss, error, rate, own, gradient = files("growth-softmax", *(f"saddle/{name}" for name in names))
    return loss, error, rate[0], own[0], rate[1], own[1], gradient < 1e-12, rounding < 1e-12


def growth(files):
    """Of feature 2: growth rate predicted, its error and observed, split time predicted, its error and observed."""
    names = "saddle/predicted_growth_rate", "saddle/predicted_growth_rate_stderr", "flow/growth_rate", \
            "saddle/predicted_split_time", "saddle/predicted_split_time_stderr", "flow/split_time"
    return [float(values[1]) for values in files("growth-softmax", *names)]


@page.says("predicted, observed 1 - - - - 2 {} +- {} {} {} +- {} {}")
def _(files):
    return growth(files)


@page.says("{} belongs to the saddle itself, where `r = 0`.")
def _(files):
    return files("growth-softmax", "saddle/split_rate")[0]


@page.says("and this is what one observes: {}. The split itself comes a little later than predicted, here by {}",
           "`1/lambda`:")
def _(files):
    rate, _, observed, predicted, _, split = growth(files)
    return observed, (split - predicted) * rate


@page.says("As the script prints it:")
def _(files):
    lines = [line for line in files.text("stages.md").splitlines() if line.startswith("|")]
    return [" ".join(line.split()) in page.text() for line in lines]


def scans(files, least=1e6):
    """Of each run from D = `least` on, for each feature: growth rate predicted, its error and observed, split time
    predicted and observed; and which feature splits first."""
    names = ("saddle/predicted_growth_rate", "saddle/predicted_growth_rate_stderr", "flow/growth_rate",
             "saddle/predicted_split_time", "flow/split_time")
    for name in "stages-flipping", "stages-gaussian":
        D = files(name, "flow/start_dimension")
        runs = [np.moveaxis(values, -3, 0)[D > 0.9 * least].reshape(-1, values.shape[-1])
                for values in files(name, *names)]
        for values in zip(*runs):
            yield np.array(values), int(np.nan_to_num(values[3], nan=np.inf).argmin())


@page.says("It stays below {<} % and below the error of the rate in all runs from D = {@} on. Splits come later than",
           "predicted by {} to {} growth times `1/lambda` in these runs,")
def _(files, least):
    first = np.array([values[:, f] for values, f in scans(files, least)])
    rate, error, seen, predicted, split = first.T
    late = (split - predicted) * rate
    return (100 * abs(seen / rate - 1).max(), late.min(), late.max(), (abs(seen - rate) < error).all())


@page.says("A second feature that grows while the first splits is slowed down: its rate is up to {} % below the",
           "prediction,")
def _(files):
    others = np.hstack([np.delete(values, f, axis=1) for values, f in scans(files)])
    return 100 * np.nanmax(1 - others[2] / others[0])


@page.says("feature 2 would grow at {} with softmax; after it, at {}, and that is what the heads do.")
def _(files):
    rate, seen = files("plateaus-softmax", "plateaus/rate", "plateaus/growth_rate")
    return rate[0, 1], rate[1, 1], abs(seen[1, 1] / rate[1, 1] - 1) < 0.02


@page.says("Above, eight heads split in two, in four, in eight: all signs of three features, one head each.")
def _(files):
    return files("hierarchy", "flow/combinations")[-1] == 8


@page.says("Below they start far apart and rearrange: {w} times a head leaves a side that it has taken, and at the end",
           "{w} heads still are on neither side of some feature.")
def _(files):
    side, undecided = files("hierarchy-excursions", "flow/side", "flow/undecided")
    return ((side[:-1] != 0) & (side[1:] == 0)).sum(), undecided[-1]


@page.says("The loss does not tell the two apart.")
def _(files):
    return abs(files("hierarchy", "flow/loss")[-1] - files("hierarchy-excursions", "flow/loss")[-1]) < 0.005


NAMES = "softmax", "softmax-1", "Bayes-softmax"


@page.says(" ".join(f"| {{}} | {name} | {{}} ({{}}) | {{}} ({{}}) |" for _ in range(3) for name in NAMES))
def _(files):
    mean, *rates = files("restoring", "saddle/model_mean_1", *(
        f"saddle/u_{pattern}_rate{end}" for pattern in ("split", "common") for end in ("", "_stderr")))
    return [(mu, *(rate[activation, place] for rate in rates))
            for place, mu in enumerate(mean) for activation in range(3)]
