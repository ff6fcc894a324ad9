"""The numbers of the gallery."""
import numpy as np

from quantities import angle, axis_alignment, best, combinations_of_signs, heads_on_first_side, shares_in_bands
from statements import Page

page = Page("input/paper/README.md", settings=(
    r"less than a minute on 2 idle cores, but figures 1, 17 and 20 \(1 to 3 minutes\) and 5 \(some 10 minutes\)",
    r"on 2 ranks",
    r"the 4096 samples on which", r"H = 1 to 8", r"only some of 4 or 8 heads", r"H = 2, 4, 8(?:, 8)?", r"5 runs",
    r"Figures (?:\[\d+\]\(#figure-\d+\)[,.] ?)+", r"The signals \(10, 3\) are a choice",
    r"\(nu_1, nu_2\) = \(2, 10\)", r"(?<=at nu_2 = 1, )2\.5, 5\.5, 10", r"68 and 95 % should",
    r"standard deviations from their equation and 32 runs"))


@page.says("A weaker nu_2 splits later, nu = (3, 1) at t near {~}.")
def _(files):
    return files("fig01-weak", "flow/split_time")[1], files("fig01", "flow/split_time")[1] < 100


@page.says("Both heads align with feature 1 within t ~ {<} and stay on a plateau. At t ~ {~} they split along",
           "feature 2, with opposite signs, and the loss falls.")
def _(files):
    m, loss, align, split = files("fig01", "flow/m", "flow/loss", "flow/alignment_time", "flow/split_time")
    return align, split[1], np.prod(np.sign(m[-1, :, 1])) < 0, loss[-1] < loss[200]


@page.says("Of the {} dots of m {} +- {} % lie in the inner bands and {} +- {} % in the outer ones;")
def _(files):
    return shares_in_bands(files, "fig01-bands")


@page.says("At D = 10^4 (kappa = 0.1, {} runs, {} dots) it is {} +- {} % and {} +- {} %.")
def _(files):
    return files("fig01-large", "sgd/replica").size, *shares_in_bands(files, "fig01-large")


@page.says("All heads go together along feature 1, then diverge along feature 2 in both signs; a single head never",
           "leaves feature 1.")
def _(files):
    return (abs(files("fig02-H1", "flow/m")[..., 1]).max() < 0.01,
            {0 < (files(f"fig02-H{H}", "flow/m")[-1, :, 1] > 0.3).sum() < H for H in (2, 3, 4, 6, 8)} == {True})


@page.says("The more heads, the further they diverge and, from {w} heads on, the later.")
def _(files):
    heads = np.array([2, 3, 4, 6, 8])
    far = [abs(files(f"fig02-H{H}", "flow/m")[-1, :, 1]).max() for H in heads]
    late = np.array([files(f"fig02-H{H}", "flow/split_time")[1] for H in heads])
    return heads[2:][np.flatnonzero(np.diff(late) < 0).max()], (np.diff(far) > 0).all()


@page.says("The feature of larger signal is learnt first; four heads take all four combinations of signs. One of the",
           "runs with H = 8 shows a head that makes an excursion to the other side. With equal signals there is no",
           "order.")
def _(files):
    first, second = files("fig03-H4", "flow/split_time")
    excursions = [files(f"fig03-{name}", "flow/excursions")[-1].sum() for name in ("H8", "H8-excursion")]
    equal = files("fig03-equal-H8", "flow/split_time")
    return (first < second / 10, combinations_of_signs(files("fig03-H4", "flow/m")[-1]) == 4,
            excursions == [0, 1], abs(equal[0] - equal[1]) < 1)


@page.says("With softmax heads split along one feature after the other until all {w} combinations of signs are",
           "taken. With Bayes-softmax one pair of heads goes to each feature.")
def _(files):
    m, split = files("fig04-softmax", "flow/m", "flow/split_time")
    pairs = files("fig04-bayes-softmax", "flow/m")[-1]
    return (combinations_of_signs(m[-1]), (np.diff(split) > 0).all(),
            (pairs > 1.7).sum(axis=0).tolist() == [1, 1, 1], (pairs < -1.7).sum(axis=0).tolist() == [1, 1, 1])


@page.says("With softmax heads split {} to {} along feature 1 at first, and {w} head crosses later.")
def _(files):
    positive = heads_on_first_side(files, "fig04-softmax")
    return (max(positive, 8 - positive), min(positive, 8 - positive),
            files("fig04-softmax", "flow/excursions")[-1, :, 0].sum())


@page.says("With Bayes-softmax one head is left over, and another joins feature 3 at the end.")
def _(files):
    m = abs(files("fig04-bayes-softmax", "flow/m")[-1])
    return (m.max(axis=1) < 0.5).sum() == 1, (m[:, 2] > 0.8).sum() == 3


def least(files, name):
    """Loss (swept value, activation) that the best of the flow's starts ends at."""
    return files(f"fig05-flow-{name}", "flow/loss").min(axis=2)


@page.says("Bayes-softmax reaches the Bayes risk when H is at least the number of atoms. It even falls up to {} %",
           "below it,")
def _(files):
    ratio = least(files, "left-atoms")[:, 2] / files("fig05-flow-left-atoms", "bayes/risk").mean(axis=(1, 2))
    return 100 * (1 - ratio[3:].min()), ratio[3:].max() < 1.01, ratio[2] > 1.4


@page.says("the gap between softmax and softmax-1 grows with nu: softmax comes to a plateau ({} at nu = {@}),",
           "softmax-1 goes on towards zero loss.")
def _(files, nu):
    loss = least(files, "right-gaussian")
    at = abs(files("fig05-flow-right-gaussian", "flow/model_signal_1") / nu - 1) < 1e-6
    gap = np.diff(loss[:, 0] - loss[:, 1])
    return loss[at, 0], (gap[:8] > 0).all(), loss[-1, 1] < 0.05


@page.says("For the flipping spike softmax and softmax-1 end together from nu = {@} on. With atoms softmax-1 stays at",
           "{} at H = 4 and above it with more heads.")
def _(files, nu):
    loss, signal = least(files, "right-flipping"), files("fig05-flow-right-flipping", "flow/model_signal_1")
    apart = abs(loss[:, 1] / loss[:, 0] - 1)
    atoms = least(files, "left-atoms")[3:, 1]
    together = apart < 0.02
    return (atoms[0], together[signal > 0.95 * nu].all(), not together[signal < 0.95 * nu][-1],
            (atoms[1:] > atoms[0]).all())


@page.says("with atoms {} at H = 4 and no more with more heads, {} for the Gaussian at nu = 2500. The last point of",
           "Bayes-softmax for the flipping spike lies below the Bayes risk:")
def _(files):
    atoms, gaussian, flipping = (best(files, f"fig05-search-{name}", "loss")
                                 for name in ("left-atoms", "right-gaussian", "right-flipping"))
    risk = files("fig05-search-right-flipping", "bayes/risk").mean(axis=1)
    return atoms[3, 1], gaussian[-1, 1], (atoms[4:, 1] < 1.005 * atoms[3, 1]).all(), flipping[-1, 2] < risk[-1]


@page.says("With atoms it needs one head for each of the four: H - F = {} of the {w} go for nothing ({} to {}), the",
           "next costs a factor of {}.")
def _(files):
    loss = np.median(files("fig07-atoms", "prune/loss")[2], axis=0)
    return (loss < 1.01 * loss[0]).sum() - 1, loss.size, loss[0], loss[4], loss[5] / loss[4]


@page.says("softmax-1 goes from {} to {} with these and then grows by factors of {}, {} and {}, because the heads left",
           "have to answer for those that are gone; softmax starts highest and degrades least, from {} to {} when {w}",
           "heads are left.")
def _(files):
    softmax, one, bayes = np.median(files("fig07-atoms", "prune/loss"), axis=1)
    return (one[0], one[4], *(one[5:] / one[4:-1]), softmax[0], softmax[6], 2, softmax[0] > max(one[0], bayes[0]),
            softmax[-1] / softmax[0] < min(one[-1] / one[0], bayes[-1] / bayes[0]))


@page.says("Bayes-softmax loses from the first removal on ({}, {}, {}, {}, {}).")
def _(files):
    return np.median(files("fig07-gaussian", "prune/loss")[2], axis=0)[:5]


@page.says("t = {} (Monte Carlo) and {} (Sobol points), against {} with fresh samples of either kind.")
def _(files):
    carlo, sobol, fresh, other = (files(f"fig08-{name}", "flow/split_time")[1]
                                  for name in ("monte-carlo-same", "sobol-same", "monte-carlo-fresh", "sobol-fresh"))
    return carlo, sobol, fresh, round(other) == round(fresh)


@page.says("The two phases again; Bayes-softmax splits first and goes on to the Bayes risk.")
def _(files):
    one, bayes = (files(f"fig09-{name}", "flow/split_time")[1] for name in ("softmax-1", "bayes-softmax"))
    return bayes < one, files("fig09-bayes-softmax", "flow/loss")[-1] < 0.35


@page.says("In the inner and the outer bands lie {} +- {} % and {} +- {} % of the dots of m with softmax-1, and {} +-",
           "{} % and {} +- {} % with Bayes-softmax;")
def _(files):
    return [number for name in ("softmax-1", "bayes-softmax")
            for number in shares_in_bands(files, f"fig09-bands-{name}")[1:]]


@page.says("With a quarter of the samples it would be {} and {} % with softmax-1: their error moves the bands.")
def _(files):
    return shares_in_bands(files, "fig09-bands-softmax-1", "fig09-few")[1::2]


@page.says("No phase of alignment, because theta has no mean: heads split along feature 1, one to each side. SGD",
           "lies on the flow. The overlaps with feature 2 stay within {<}, so that their panels show the scatter of",
           "SGD (bars: {} replicas).")
def _(files):
    names = [f"fig10-{name}" for name in ("softmax", "softmax-1", "bayes-softmax")]
    flow, sgd = ([files(name, f"{kind}/m") for name in names] for kind in ("flow", "sgd"))
    return (max(abs(m[..., 1]).max() for m in flow + sgd), files(names[0], "sgd/replica").size,
            all(m[-1, 0, 0] * m[-1, 1, 0] < 0 for m in flow))


@page.says("It grows with nu_1, which the heads share. With nu_2, which drives them apart, it falls where nu_1 is at",
           "most {}.")
def _(files):
    cosine, nu_1 = best(files, "fig11", "cosine")[..., 0, 1], files("fig11", "train/model_signal_1")
    return nu_1[(np.diff(cosine, axis=1) < 0).all(axis=1)].max(), (np.diff(cosine, axis=0) > 0).mean() > 0.9


@page.says("Above nu_1 = {} it falls with nu_2 at first and then grows again")
def _(files):
    cosine, nu_1 = best(files, "fig11", "cosine")[..., 0, 1], files("fig11", "train/model_signal_1")
    return nu_1[(np.diff(cosine, axis=1) < 0).all(axis=1)].max()


@page.says("From nu_1 = {} on it only grows.")
def _(files):
    cosine, nu_1 = best(files, "fig11", "cosine")[..., 0, 1], files("fig11", "train/model_signal_1")
    return nu_1[(np.diff(cosine, axis=1) > 0).all(axis=1)].min()


@page.says("(L = 5, nu_1 = 5: {}, {}, {}, {} at nu_2 = {}, {}, {}, {};")
def _(files):
    cosine, nu_1, nu_2 = best(files, "fig11", "cosine")[..., 0, 1], *files("fig11", "train/model_signal_1",
                                                                         "train/model_signal_2")
    at = [np.flatnonzero(nu_2 == nu)[0] for nu in (1, 2.5, 5.5, 10)]
    return *cosine[np.flatnonzero(nu_1 == 5)[0], at], *nu_2[at]


@page.says("with L = 4 already at nu_1 = 2.5: {}, {}, {}, {}).")
def _(files):
    return best(files, "fig11-short", "cosine")[..., 0, 1].ravel()


@page.says("At nu_1 = {} two kinds of minima compete, and the cosine jumps where the other one becomes the lower.")
def _(files):
    cosine, nu_1 = best(files, "fig11", "cosine")[..., 0, 1], files("fig11", "train/model_signal_1")
    return nu_1[abs(np.diff(cosine, axis=1)).max(axis=1).argmax()]


@page.says("The angle between the heads is the wider, the smaller nu_1, and the wider, the larger nu_2, where nu_1 is",
           "small.")
def _(files):
    wide = angle(best(files, "fig12", "m"))
    return (np.diff(wide, axis=0) < 0).all(), (np.diff(wide[:2], axis=1) > 0).all()


@page.says("the lower minimum is not symmetric: one head is long, the other turns to feature 2.")
def _(files):
    m = best(files, "fig12", "m")[1, 3]
    long, other = m[np.argsort(-np.linalg.norm(m, axis=1))]
    return np.linalg.norm(long) > 1.2 * np.linalg.norm(other), abs(other[1]) > 2 * abs(other[0])


@page.says("At nu_1 = {} heads jump from nearly parallel (nu_2 = {}) to wide apart (nu_2 = {}): another minimum is the",
           "lower there.")
def _(files):
    wide = np.degrees(angle(best(files, "fig13", "m")))
    nu_1, nu_2 = files("fig13", "train/model_signal_1", "train/model_signal_2")
    i, j = np.unravel_index(np.diff(wide, axis=1).argmax(), (4, 3))
    return nu_1[i], nu_2[j], nu_2[j + 1], wide[i, j] < 30, wide[i, j + 1] > 90


@page.says("The heads sit on the atoms (sqrt nu_1, +- sqrt nu_2).")
def _(files):
    nu_1, nu_2 = np.meshgrid(*files("fig14", "train/model_signal_1", "train/model_signal_2"), indexing="ij")
    off = abs(abs(best(files, "fig14", "m")) - np.sqrt(np.stack([nu_1, nu_2], axis=-1))[:, :, None])
    return np.median(off) < 0.05


@page.says("Two phases for every H; the larger H, the later heads split and the further some diverge.")
def _(files):
    runs = [files(f"fig15-H{H}", "flow/m", "flow/split_time") for H in (2, 4, 8)]
    return ((np.diff([split[1] for _, split in runs]) > 0).all(),
            (np.diff([abs(m[-1, :, 1]).max() for m, _ in runs]) > 0).all())


@page.says("Two heads on each sign of feature 1, then each pair splits along feature 2: all {w} combinations of",
           "signs, in all runs.")
def _(files):
    return min(combinations_of_signs(files(f"fig16-seed{seed}", "flow/m")[-1]) for seed in (1, 2, 3, 4))


@page.says("In the third run {w} heads go to one sign first, and {w} of them makes an excursion to the other.")
def _(files):
    positive = heads_on_first_side(files, "fig16-seed3")
    return max(positive, 4 - positive), files("fig16-seed3", "flow/excursions")[-1].sum()


@page.says("Directions are learnt in the order of their signals; at the end all {w} combinations of signs, one head",
           "each, in all runs.")
def _(files):
    runs = [files(f"fig17-seed{seed}", "flow/combinations", "flow/split_time") for seed in (1, 2, 3, 4)]
    return min(taken[-1] for taken, _ in runs), all((np.diff(split) > 0).all() for _, split in runs)


@page.says("The last {w} runs first split {} to {} along feature 1, and heads make excursions until t = {}.")
def _(files):
    uneven, last = [], 0
    for seed in (1, 2, 3, 4):
        positive = heads_on_first_side(files, f"fig17-seed{seed}")
        uneven.append(sorted((positive, 8 - positive)))
        time, side = files(f"fig17-seed{seed}", "flow/time", "flow/side")
        last = max(last, time[1:][(np.diff(side, axis=0) != 0).any(axis=(1, 2))].max())
    return len([one for one in uneven[1:] if one == [3, 5]]), 5, 3, last, uneven[0] == [4, 4]


@page.says("In the last {w} runs one head makes an excursion. Biases and v are drawn besides.")
def _(files):
    return [files(f"fig18-seed{seed}", "flow/excursions")[-1].sum() for seed in (1, 2, 3, 5)].count(1)


@page.says("At the end, t = {}, the second and the fourth run have all {w} combinations of signs.")
def _(files):
    runs = [files(f"fig19-seed{seed}", "flow/time", "flow/combinations") for seed in (2, 5)]
    return runs[0][0][-1], min(taken[-1] for _, taken in runs)


@page.says("In the two other runs {w} or {w} heads are still on neither side of some feature.")
def _(files):
    return sorted(files(f"fig19-seed{seed}", "flow/undecided")[-1] for seed in (1, 3))


@page.says("Feature 3 has a pair of its own in all runs. With H = 4, F = 2 each feature has its own pair in all",
           "runs.")
def _(files):
    third = [abs(files(f"fig20-seed{seed}", "flow/m")[-1])[:, 2] > 1.6 for seed in (2, 4, 5, 7)]
    small = [abs(files(f"fig20-H4-seed{seed}", "flow/m")[-1]) > 1 for seed in (1, 2, 3, 4)]
    return all(one.sum() == 2 for one in third), all(one.sum(axis=0).tolist() == [2, 2] for one in small)


@page.says("The pairs of features 1 and 2 lie on the axes in the second and the fourth run (loss {} and {}), and on",
           "the diagonals of their plane in the two others (both {}).")
def _(files):
    runs = [files(f"fig20-seed{seed}", "flow/m", "flow/loss") for seed in (2, 4, 5, 7)]
    axes = [axis_alignment(m[-1], [0, 1]) for m, _ in runs]
    loss = [one[-1] for _, one in runs]
    return (loss[1], loss[3], loss[0], round(loss[0], 3) == round(loss[2], 3), min(min(axes[1]), min(axes[3])) > 0.95,
            max(max(axes[0]), max(axes[2])) < 0.8)
