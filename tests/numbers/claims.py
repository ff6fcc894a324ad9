"""The numbers of the claims."""
import sys

import numpy as np

from quantities import best, first_time, shares_in_bands
from statements import TOP, Page

sys.path.insert(0, str(TOP / "src/python"))
from headflow.plot.theory import attention_of, first_phase  # noqa: E402

page = Page("input/claims/README.md", settings=(
    r"takes some twenty minutes on a core", r"each of the others less than 2\)", r"Batches of 1, 16 and 256",
    r"at the same `[^`]*` = [\d.]+", r"five sets of 65,536 samples", r"`[^`]*` = (?=0\.422)", r"kappa(?: =)? [\d.]+",
    r"opposite heads `[^`]*`, biases `[^`]*` and v = 2", r"adds up to one, `L A = 1`", r"for each factor 10 in D",
    r"[Nn]ear D = 10\^12", r"here with kappa = 4", r"D = 10\^4 to 10\^8", r"\(L = 6, nu = \(4, 20\)\)",
    r"r = 0 attracts", r"m = 0"))
EIGENVECTORS = np.array([[1, -2, -2], [-2, 1, -2], [-2, -2, 1]]) / 3
COVARIANCE = np.array([[6.0, -4.5, -1.5], [-4.5, 9.75, 6.0], [-1.5, 6.0, 11.25]])  # as in pca.toml
ATOMS = np.array([[2.5, 0.0], [0.0, 2.0], [-2.0, 1.0], [-1.0, -2.5], [1.5, -1.5]])  # as in biases.toml
WEIGHTS = np.array([0.4, 0.25, 0.2, 0.1, 0.05])


def along_eigenvectors(files):
    """Times, and the root mean square overlap of the heads with each eigenvector."""
    time, m = files("pca", "flow/time", "flow/m")
    return time, np.sqrt(((m @ EIGENVECTORS.T) ** 2).mean(axis=1))


@page.says("Here the eigenvectors, ({}, {}, {})/{}, ({}, {}, {})/{} and ({}, {}, {})/{}, are far from the spikes.")
def _(_):
    images = EIGENVECTORS @ COVARIANCE
    parallel = np.linalg.norm(np.cross(images, EIGENVECTORS), axis=1)
    return 1, -2, -2, 3, -2, 1, -2, 3, -2, -2, 1, 3, parallel.max() < 1e-9, abs(EIGENVECTORS).max() < 0.7


@page.says("Heads come to an overlap of {@} with them (root mean square) at t = {}, {} and {}, in the order of the",
           "eigenvalues {}, {} and {}.")
def _(files, level):
    time, size = along_eigenvectors(files)
    return (*(first_time(time, size[:, i], level) for i in range(3)),
            *(vector @ COVARIANCE @ vector for vector in EIGENVECTORS))


@page.says("The first rises at a rate of {}; Lemma III.1 says `2 gamma (1 - 1/L)(1 - 2/L) / (L H)` = {}.")
def _(files):
    time, size = along_eigenvectors(files)
    early = (size[:, 0] > 3e-3) & (size[:, 0] < 3e-2)
    L, H = 4, 8
    return (np.polyfit(time[early], np.log(size[early, 0]), 1)[0],
            2 * 18 * (1 - 1 / L) * (1 - 2 / L) / (L * H))


@page.says("combinations of signs: {w} of the {w} have a clear one at t = {@}, one is still undecided along the third.")
def _(files, end):
    time, m = files("pca", "flow/time", "flow/m")
    overlaps = abs(m[np.argmin(abs(time - end))] @ EIGENVECTORS.T)
    clear = (overlaps > 0.1).all(axis=1)
    return clear.sum(), clear.size, (overlaps[~clear, :2] > 0.1).all()


def first_phase_of(files, name):
    """Times, L A of the flow and by the lemma, b, v."""
    time, b, v = files(f"first-phase-{name}", "flow/time", "flow/b", "flow/v")
    return time, attention_of(b, v, 5), first_phase(time, b[0].mean(), v[0], 5, b.shape[1]), b, v


@page.says("L A follows the lemma's own equation (dashed) within {} until t = {@} and comes to one; v does nearly all",
           "of it ({}, b = {}).")
def _(files, end):
    time, flow, lemma, b, v = first_phase_of(files, "gaussian")
    early = time <= end
    return (abs(flow - lemma)[early].max(), v[early][-1], b[early][-1].mean(), abs(flow[early][-1] - 1) < 0.005)


@page.says("After t = {>} heads split and leave.")
def _(files):
    return files("first-phase-gaussian", "flow/split_time")[0]


@page.says("the lemma, which is at m = 0, holds only until t ~ {@}. L A of zero fields is then no sum of the attention",
           "any more, and passes {}.")
def _(files, end):
    time, flow, lemma, _, _ = first_phase_of(files, "flipping")
    off = abs(flow - lemma)
    return flow.max(), off[time <= end].max() < 0.01, off[time > 2 * end].max() > 0.03


@page.says("That biases of all heads stay the same is seen in both: within {<} until t = {@} above, within {<} to the",
           "end below.")
def _(files, end):
    time, _, _, b, _ = first_phase_of(files, "gaussian")
    return np.ptp(b[time <= end], axis=1).max(), np.ptp(files("first-phase-flipping", "flow/b"), axis=1).max()


@page.says("From eta = {@} to {@} hardly anything depends on it: heads align at t = {} to {} and split at t = {} to {}",
           "(four starts).")
def _(files, low, high):
    eta, align, split = files("eta", "flow/start_eta", "flow/alignment_time", "flow/split_time")
    among = (eta > 0.9 * low) & (eta < 1.1 * high)
    return (align[among].min(), align[among].max(), split[among, :, 1].min(), split[among, :, 1].max(),
            split.shape[1] == 4)


@page.says("At eta = {@} the split is a quarter later, at eta = {@}, where r starts at {}, twice as late.")
def _(files, one, three):
    eta, split = files("eta", "flow/start_eta", "flow/split_time")
    early, later, latest = (np.mean(split[abs(np.log(eta / at)).argmin(), :, 1]) for at in (eta[0], one, three))
    return eta[abs(np.log(eta / three)).argmin()] ** 2, 1.2 < later / early < 1.3, 1.9 < latest / early < 2.1


@page.says("The end is the same: r below {<} and the same loss. At eta = {@} heads are still on the way at t = {@} (r",
           "= {} to {}, no split), and at eta = {@} they keep r = {} and a loss of {}.")
def _(files, five, end, ten):
    eta, r, loss, split, time = files("eta", *(f"flow/{name}" for name in ("start_eta", "r", "loss", "split_time",
                                                                           "end_time")))
    five, ten = (abs(np.log(eta / at)).argmin() for at in (five, ten))
    slow = r[five, :, 0, 0]
    return (abs(r[:five]).max(), slow.min(), slow.max(), r[ten, :, 0, 0].mean(), loss[ten].mean(),
            (time == end).all(), np.ptp(loss[:five], axis=0).max() < 1e-4, np.isnan(split[five:, :, 1]).all())


@page.says("of two heads with a large r what is left is their difference (`r_12` is -r_11).")
def _(files):
    r = files("eta", "flow/r")[-2:]
    return abs(r[:, :, 0, 1] / r[:, :, 0, 0] + 1).max() < 0.05


@page.says("need {}, {} and {} steps, and the same number of sequences. {w} runs of each lie on one flow, and they",
           "scatter alike: of the dots of m {}, {} and {} % lie within the one standard deviation that",
           "`[fluctuations]` computes, {}, {} and {} % within two.")
def _(files):
    names = [f"batches-B{size}" for size in (1, 16, 256)]
    shares = [shares_in_bands(files, name) for name in names]
    sequences = [files(name, "sgd/sequences")[-1] for name in names]
    return (*(files(name, "sgd/steps")[-1] for name in names), files(names[0], "sgd/replica").size,
            *(share[1] for share in shares), *(share[3] for share in shares), np.ptp(sequences) == 0)


@page.says("The loss is the Bayes risk, {}, within {}.")
def _(files):
    risk = files("biases", "bayes/risk")
    return risk.mean(), abs(best(files, "biases", "loss") - risk).max()


@page.says("What scatters is the rarest atom, P = {}: its bias by {}, and one of its heads lies {} off,")
def _(files):
    m, b = best(files, "biases", "m"), best(files, "biases", "b")
    off = np.linalg.norm(m[:, :, None] - ATOMS, axis=-1)
    expected = -(ATOMS ** 2).sum(axis=1) / 2 + np.log(WEIGHTS)
    excess = b - expected[off.argmin(axis=2)]
    excess -= excess.mean(axis=1, keepdims=True)
    rarest = off.argmin(axis=2) == WEIGHTS.argmin()
    return WEIGHTS.min(), excess[rarest].std(ddof=1), off.min(axis=2)[rarest].max()


@page.says("the loss of softmax-1 falls to {} at nu = {@}, that of softmax to {}, and more and more slowly.")
def _(files, nu):
    softmax, one = files("large-signals", "train/loss")[..., 0]
    at = np.flatnonzero(files("large-signals", "train/model_signal_2") == nu)[0]
    return one[at], softmax[at], (np.diff(abs(np.diff(softmax) / np.diff([2, 4, 8, 12, 16, 24, 32]))) < 0).all()


@page.says("At the minima m is within {<} % of sqrt(nu) from nu = {@} on, and v is {} from nu = {@} on. Biases come to",
           "be proportional to nu only at large signals: -b / nu is {} at nu = {@} and {} at nu = {@}. The Bayes risk",
           "falls faster still, to {}.")
def _(files, four, eight, low, high):
    nu, m, b, v, risk = files("large-signals", "train/model_signal_2", "train/m", "train/b", "train/v", "bayes/risk")
    m, b, v = m[1, :, 0, :, 1], b[1, :, 0].mean(axis=1), v[1, :, 0]
    off = 100 * abs(abs(m) / np.sqrt(nu)[:, None] - 1).max(axis=1)
    scale = v[nu >= eight]
    return (off[nu >= four].max(), scale[abs(scale - 2).argmax()], *(-b[nu == at][0] / at for at in (low, high)),
            risk[1, -1])


def pruned(files, name):
    """Loss (activation, run, removed heads)."""
    return files(f"pruning-{name}", "prune/loss")


@page.says("With atoms Bayes-softmax loses nothing until half of its heads are gone; with the fifth its loss rises",
           "from {} to {}. Softmax begins at {} and degrades least: when one head is left the losses are {} (softmax),",
           "{} and {} (softmax-1).")
def _(files):
    softmax, one, bayes = np.median(pruned(files, "atoms"), axis=1)
    worse = [last / first for first, *_, last in (softmax, one, bayes)]
    return (bayes[4], bayes[5], softmax[0], softmax[7], bayes[7], one[7], bayes[4] < 1.01 * bayes[0],
            min(worse) == worse[0])


@page.says("Gaussian features have no such edge: every head counts. There softmax-1 ends at {}, softmax at {} and",
           "Bayes-softmax at {}.")
def _(files):
    softmax, one, bayes = np.median(pruned(files, "gaussian"), axis=1)
    return one[7], softmax[7], bayes[7], bayes[1] > 1.05 * bayes[0]


@page.says("four to forty times the standard deviation of softmax from the third head on with atoms, and larger with",
           "Gaussian features, too.")
def _(files):
    atoms, gaussian = (pruned(files, name).std(axis=1, ddof=1) for name in ("atoms", "gaussian"))
    ratio = (atoms[1] / atoms[0])[3:]
    return 3.5 < ratio.min() < 4.5, 35 < ratio.max() < 45, (gaussian[1] > gaussian[0])[3:].all()


@page.says("That of Bayes-softmax is not: with atoms it stays below that of softmax, with Gaussian features it is",
           "about the same.")
def _(files):
    atoms, gaussian = (pruned(files, name).std(axis=1, ddof=1) for name in ("atoms", "gaussian"))
    return (atoms[2] < atoms[0])[1:].all(), 0.4 < np.median(gaussian[2] / gaussian[0]) < 2.5


def sequences(files, kind, exponent):
    """Of each run of SGD, or of each of four flows: n / D until heads align and until they split."""
    name = f"samples-{kind}-{exponent}"
    runs = [name] if kind == "sgd" else [f"{name}-{seed}" for seed in (1, 2, 3, 4)]
    found = []
    for run in runs:
        time, m, split = files(run, *(f"{kind}/{name}" for name in ("time", "m", "split_time")))
        common = m[..., 0].mean(axis=-1).reshape(time.size, -1)
        align = [first_time(time, one, np.sqrt(4) / 2) for one in common.T]
        found += zip(align, np.reshape(split, (-1, 2))[:, 1])
    return np.nan_to_num(np.transpose(found), nan=np.inf) / 4  # kappa = 4; not split: later than all that have


@page.says("half of the mean signal n / D is {}, {}, {}, {} and {} at D = 10^4 to 10^8. Until the heads split it is",
           "{}, {}, {}, {} and {} at D = 10^4 to 10^8 (medians of {}, {}, {}, {} and {} runs),")
def _(files):
    runs = [sequences(files, "sgd", exponent) for exponent in range(4, 9)]
    return (*(np.median(align) for align, _ in runs), *(np.median(split) for _, split in runs),
            *(split.size for _, split in runs))


@page.says("Of the {} runs at D = 10^4 a sixth split earlier than the median by {} or more, a sixth later by {} or",
           "more:")
def _(files):
    split = sequences(files, "sgd", 4)[1]
    low, median, high = np.quantile(split, (1 / 6, 1 / 2, 5 / 6), method="nearest")
    return split.size, median - low, high - median


@page.says("The median grows by {} for each factor 10 in D, at the end, near D = 10^12, by {}.")
def _(files):
    flows = np.array([np.median(sequences(files, "flow", exponent)[1]) for exponent in range(4, 13)])
    return (flows[-1] - flows[0]) / 8, flows[-1] - flows[-2]
