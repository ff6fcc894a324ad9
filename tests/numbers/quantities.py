"""What statements of several pages need: dots of SGD in bands, patterns of signs, trained heads that are best."""
import numpy as np


def shares_in_bands(files, sgd, bands=None):
    """How many dots of m there are, then of those within one and of those within two standard deviations the percentage
    and its standard error over the runs. The dots are those of one file, the bands of the same or of another."""
    time, m = files(sgd, "sgd/time", "sgd/m")
    known, mean, deviation = files(bands or sgd, *(f"fluctuations/{name}" for name in ("time", "m", "m_std")))
    time, m = time[1:], m[1:]
    at = np.abs(known[:, None] - time).argmin(axis=0)
    off = np.abs(m - mean[at][:, None]) / deviation[at][:, None]
    shares = [100 * (off < width).mean(axis=(0, 2, 3)) for width in (1, 2)]
    return [off.size, *(number for share in shares
                        for number in (share.mean(), share.std(ddof=1) / np.sqrt(share.size)))]


def combinations_of_signs(m):
    """How many different patterns of signs the heads (rows) have."""
    return len(np.unique(np.sign(m), axis=0))


def heads_on_first_side(files, name):
    """How many heads have a positive overlap with feature 1 once it has split."""
    time, m, split = files(name, "flow/time", "flow/m", "flow/split_time")
    return int((m[np.argmax(time > 1.5 * split[0]), :, 0] > 0).sum())


def best(files, name, variable):
    """Of each member of a sweep the variable of its best heads."""
    values, chosen = files(name, f"train/{variable}", "train/best")
    members = values.reshape(chosen.size, *values.shape[chosen.ndim:])
    found = members[np.arange(chosen.size), chosen.astype(int).ravel() - 1]
    return found.reshape(*chosen.shape, *found.shape[1:])


def angle(m):
    """Between two heads (the last two axes: head, feature)."""
    one, other = m[..., 0, :], m[..., 1, :]
    return np.arccos((one * other).sum(axis=-1) / np.linalg.norm(one, axis=-1) / np.linalg.norm(other, axis=-1))


def axis_alignment(m, features):
    """For each head that is longer than one in the plane of the features how near it is to an axis: 1 on it, .71 on a
    diagonal."""
    plane = m[:, features]
    length = np.linalg.norm(plane, axis=1)
    return (np.abs(plane).max(axis=1) / np.maximum(length, 1e-300))[length > 1]


def first_time(time, values, level):
    """At which the values come to the level, linear between outputs."""
    after = np.argmax(values >= level)
    return np.interp(level, values[after - 1:after + 1], time[after - 1:after + 1])
