"""The numbers of the pages on priors and training, and of the first page."""
import numpy as np

from quantities import best
from statements import Page

training = Page("input/training/README.md", settings=(
    r"16 runs of SGD", r"in 16 runs", r"the 4096 samples by heart", r"b = 0 and v = 1", r"\(from 1 to `floor`",
    r"`kappa = [^`]*`"))
priors = Page("input/priors/README.md", settings=(
    r"\(0 where it is left out\)", r"sqrt\(3 nu\)", r"\| 0, but with probability", r"m = 0", r"\(1\.5, -?1\.5\)"))
readme = Page("README.md", settings=(
    r"bare Debian 12 or 13", r"GCC 12 or Clang 14", r"10\^7 samples", r"some 10\^7 samples \(2\^23\) on 64 ranks",
    r"Exit codes are 0 \(finished\), 2 .*?, 3 .*?, 4 .*?, and 75", r"Linux on x86-64 or aarch64",
    r"^\d\. | \d\. (?=[A-Z])"))


@training.says("r comes to rest at {} here, in SGD as in the flow. At t = {@} it is at {} without weight decay, at {}",
               "with {}. Weight decay shrinks m, too: {} without it, {} here, {} with {}.")
def _(files, end):
    r, m, time = files("decay-and-noise", "flow/r", "flow/m", "flow/time")
    others = [files(f"decay-{name}", "flow/r", "flow/m") for name in ("none", "more")]
    sgd = files("decay-and-noise", "sgd/r_mean")[-1, 0, 0]
    rests = [radius[-1, 0, 0] for radius, _ in others]
    sizes = [abs(overlap[-1]).mean() for overlap in (others[0][1], m, others[1][1])]
    return r[-1, 0, 0], *rests, 0.1, *sizes, 0.1, abs(sgd - r[-1, 0, 0]) < 0.02, time[-1] == end


@training.says("A little of it does no harm to Bayes-softmax: on fresh samples its loss is least at {}, where it keeps",
               "the heads from learning the 4096 samples by heart. From {@} on all three lose.")
def _(files, begin):
    decay, loss = files("weight-decay", "train/attention_weight_decay"), best(files, "weight-decay", "loss")
    beyond = loss[:, decay > 0.99 * begin]
    return decay[loss[2].argmin()], (np.diff(beyond, axis=1) > 0).all()


@training.says("at H = 4 the loss is {} with k alone, {} with v, {} with b, and {} with both.")
def _(files):
    heads, loss = files("trained-parts", "train/attention_heads"), best(files, "trained-parts", "loss")
    return loss[:, heads == 4]


@readme.says("Both align with feature 1 by t = {<}, rest on a plateau, and split along feature 2 at t = {}. Lines are",
             "the flow, dots are SGD at D = 10^4.")
def _(files):
    align, split = files("fig01", "flow/alignment_time", "flow/split_time")
    return align, split[1], files("fig01", "sgd/sequences")[-1] > 0
