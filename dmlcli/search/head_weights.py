"""The head of a model without torch: from unit features to embeddings, and from a target back to the features."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_SHARPNESS, _STRANGE = 20.0, 0.7  # of the attention over prototypes, as in learn/networks/heads.py
_LEAST = 1e-12  # length that a vector is divided by
_NEAR_ZERO = 1e-6  # cosine to a prototype that nothing is divided by


class Linear(NamedTuple):
    """A cosine as a function of unit features x (F,): weights @ x + constant, exact at the x that it was made at."""

    weights: Floats  # (F,)
    constant: float


class IdentityWeights:
    """A head that gives the features themselves."""

    def embeddings(self, features: Floats) -> Floats:
        """Unit (B, F) -> the same."""
        return features

    def at(self, features: Floats, target: Floats) -> Linear:
        """Return the cosine to a target (F,): the target itself, whatever the features are."""
        return Linear(target, 0.0)


class _Layer:
    """A linear layer."""

    def __init__(self, arrays: Mapping[str, Floats], name: str) -> None:
        self.weight, self.bias = arrays[f"{name}.weight"], arrays[f"{name}.bias"]

    def __call__(self, rows: Floats) -> Floats:
        """(B, F) -> (B, D)."""
        return np.asarray(rows @ self.weight.T + self.bias)

    def back(self, gradient: Floats) -> Linear:
        """Return `gradient` (D,) times the output as a function of the input."""
        return Linear(gradient @ self.weight, float(gradient @ self.bias))


class BlendWeights:
    """The arrays of a `BlendHead`.

    Not linear in the features are the lengths that vectors are divided by, the attention over the prototypes, and the
    hidden units of an MLP. `at` fixes them as they are at the given features: the lengths, the attention of each
    prototype over the cosine to it, and the output of each hidden unit over its input.
    """

    def __init__(self, kind: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        own = {name.removeprefix("head."): np.asarray(array, dtype=np.float32) for name, array in arrays.items()}
        self._blend, self._weight = np.float32(own["blend"]), np.float32(own["prototype_attention"])
        self._prototypes = own["prototypes"]  # (C, D)
        self._whitened, self._linear = _Layer(own, "whitened"), _Layer(own, "discriminative.linear")
        self._is_centered = kind == "layernorm"
        beside = "discriminative.beside"
        self._mlp = (_Layer(own, f"{beside}.0"), _Layer(own, f"{beside}.3")) if kind == "mlp" else None
        self._neck = _neck(own) if kind == "bnneck" else None

    def embeddings(self, features: Floats) -> Floats:
        """Unit (B, F) -> unit (B, D)."""
        inner = self._normed(features) if self._is_centered else features
        moved = _unit(self._raw(inner))
        if len(self._prototypes):
            moved = moved + self._attention(moved) @ self._prototypes
        return _unit(np.concatenate(self._shares(_unit(self._whitened(inner)), moved), axis=-1))

    def at(self, features: Floats, target: Floats) -> Linear:
        """Return the cosine of the embedding of unit `features` (F,) to a unit `target` (D,)."""
        inner = self._normed(features[None]) if self._is_centered else features[None]
        white, raw = self._whitened(inner), self._raw(inner)
        unit = moved = _unit(raw)
        attention = self._attention(unit)
        if len(self._prototypes):
            moved = unit + attention @ self._prototypes
        length = _lengths(np.concatenate(self._shares(_unit(white), moved), axis=-1))[0]
        split = white.shape[1]
        to_white, to_moved = self._shares(target[:split] / length, target[split:] / length)
        to_unit, rest = self._before_attention(to_moved, unit[0], attention[0])
        first = self._whitened.back(to_white / _lengths(white)[0])
        second = self._before_raw(to_unit / _lengths(raw)[0], inner)
        weights = first.weights + second.weights
        if self._is_centered:
            weights = (weights - weights.mean()) / _spread(features[None])[0]
        return Linear(weights, first.constant + second.constant + rest)

    def _shares(self, whitened: Floats, discriminative: Floats) -> tuple[Floats, Floats]:
        return np.sqrt(self._blend) * whitened, np.sqrt(1 - self._blend) * discriminative

    def _normed(self, features: Floats) -> Floats:
        return np.asarray((features - features.mean(axis=-1, keepdims=True)) / _spread(features))

    def _raw(self, inner: Floats) -> Floats:
        raw = self._linear(inner)
        if self._mlp is not None:
            hidden = self._mlp[0](inner)
            raw = raw + self._mlp[1](hidden * _below(hidden))
        return raw if self._neck is None else raw * self._neck[0] + self._neck[1]

    def _before_raw(self, gradient: Floats, inner: Floats) -> Linear:
        """Return `gradient` (D,) times what `_raw` gives as a function of `inner` (1, F)."""
        constant = 0.0
        if self._neck is not None:
            gradient, constant = gradient * self._neck[0], float(gradient @ self._neck[1])
        found = self._linear.back(gradient)
        weights, constant = found.weights, constant + found.constant
        if self._mlp is not None:
            outer = self._mlp[1].back(gradient)
            hidden = self._mlp[0].back(outer.weights * _below(self._mlp[0](inner)[0]))
            weights, constant = weights + hidden.weights, constant + outer.constant + hidden.constant
        return Linear(weights, constant)

    def _attention(self, units: Floats) -> Floats:
        """Return the weight of each prototype: (B, D) -> (B, C)."""
        similarity = _SHARPNESS * units @ self._prototypes.T
        most = np.maximum(similarity.max(axis=-1, keepdims=True, initial=-np.inf), _SHARPNESS * _STRANGE)
        powers, none = np.exp(similarity - most), np.exp(_SHARPNESS * _STRANGE - most)
        return np.asarray(self._weight * powers / (powers.sum(axis=-1, keepdims=True) + none))

    def _before_attention(self, gradient: Floats, unit: Floats, attention: Floats) -> tuple[Floats, float]:
        """Return `gradient` (D,) times the moved vector as weights of `unit` (D,), and the rest."""
        cosines, values = self._prototypes @ unit, self._prototypes @ gradient  # (C,)
        usable = np.abs(cosines) > _NEAR_ZERO
        factors = np.divide(attention, cosines, out=np.zeros_like(cosines), where=usable)
        return gradient + (factors * values) @ self._prototypes, float((attention * values)[~usable].sum())


Head = IdentityWeights | BlendWeights


def head_of(settings: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Head:
    """Return the head of a model.

    Args:
        settings: the record's `head`.
        arrays: the weights of the head by name.
    """
    return IdentityWeights() if settings["kind"] == "identity" else BlendWeights(settings["discriminative"], arrays)


def _neck(own: Mapping[str, Floats]) -> tuple[Floats, Floats]:
    """Return the factor and the summand (D,) of batch norm in evaluation mode."""
    name = "discriminative.neck."
    factor = own[f"{name}weight"] / np.sqrt(own[f"{name}running_var"] + np.float32(1e-5))
    return factor, own[f"{name}bias"] - own[f"{name}running_mean"] * factor


def _below(values: Floats) -> Floats:
    """Return the share of a normal distribution below each value: GELU's output over its input."""
    return np.asarray([0.5 * math.erfc(-value / 2**0.5) for value in values.flat], np.float32).reshape(values.shape)


def _spread(rows: Floats) -> Floats:
    """Return the standard deviation of each row as layer norm has it, (B, 1)."""
    return np.asarray(np.sqrt(rows.var(axis=-1, keepdims=True) + np.float32(1e-5)))


def _lengths(rows: Floats) -> Floats:
    return np.asarray(np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), _LEAST), dtype=np.float32)


def _unit(rows: Floats) -> Floats:
    return np.asarray(rows / _lengths(rows), dtype=np.float32)
