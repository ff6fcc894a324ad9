"""Moments of the law of theta, from the input that a file keeps."""
from typing import Any

import numpy as np


def atoms_of(model: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Atoms (atom, feature) of a discrete law and their probabilities. Throws ValueError for any other law."""
    signal, features = np.ravel(model.get("signal", 0.0)), int(model["features"])
    if model["prior"] == "flipping-spike":
        a, b = np.sqrt([signal[0], signal[-1]])
        return np.array([[a, b], [a, -b]]), np.full(2, 0.5)
    if model["prior"] == "canonical-spikes":
        return np.sqrt(signal[0]) * np.eye(features), np.full(features, 1 / features)
    if model["prior"] == "discrete":
        atoms = np.array(model["atoms"], dtype=float)
        weights = np.array(model.get("weights", np.ones(len(atoms))), dtype=float)
        return atoms, weights / weights.sum()
    raise ValueError(f"the law '{model['prior']}' has no atoms")


def moments_of(model: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Mean of theta, (feature), and Gamma = E[theta theta'], (feature, feature)."""
    features = int(model["features"])
    mean = np.broadcast_to(np.array(model.get("mean", 0.0), dtype=float), features)
    if model["prior"] == "anisotropic-gaussian":
        signal = np.ravel(model["signal"])
        return np.zeros(features), np.diag(np.linspace(signal[0], signal[-1], features))
    if model["prior"] == "gaussian":
        return mean, np.array(model["covariance"], dtype=float) + np.outer(mean, mean)
    if model["prior"] == "product":
        return mean, np.diag(np.broadcast_to(model["signal"], features)) + np.outer(mean, mean)
    if model["prior"] == "mixture":
        means, covariances = (np.array(model[key], dtype=float) for key in ("means", "covariances"))
        weights = np.array(model.get("weights", np.full(len(means), 1 / len(means))))
        return weights @ means, np.einsum("n,nfg->fg", weights, covariances) + (weights * means.T) @ means
    atoms, weights = atoms_of(model)
    return weights @ atoms, (weights * atoms.T) @ atoms
