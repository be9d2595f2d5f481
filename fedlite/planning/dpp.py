"""Diverse neurons: k of a layer's neurons are drawn so that they say different things, the others are fused into them.

A set of neurons is drawn with a probability in proportion to the determinant of its part of a kernel, which is small
where neurons answer alike (a determinantal point process of fixed size). What the next layer read from those left out
it reads from the kept ones, by least squares. Nothing is trained again.

References
----------
Mariet, Sra 2016, "Diversity networks: Neural network compression using determinantal point processes".
Kulesza, Taskar 2012, "Determinantal point processes for machine learning", section 5.2 (drawing k).
Chen, Zhang, Zhou 2018, "Fast greedy MAP inference for determinantal point process", section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fedlite.errors import FedliteError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]

SHARPNESS: Final = 10.0
"""Of the kernel: Mariet and Sra take 10 over the number of rows."""
RIDGE: Final = 0.01
"""What is added to the kernel's diagonal, so that neurons that answer alike may both stay."""


class DiversityError(FedliteError):
    """Neurons cannot be chosen this way."""


def activation_kernel(activations: NDArray[Any], sharpness: float = SHARPNESS, ridge: float = RIDGE) -> Matrix:
    """Return how alike neurons answer: exp(-sharpness * mean squared difference), and a ridge.

    Parameters
    ----------
    activations : array (rows, neurons)
        For a convolution every place of every image is a row.
    sharpness : float
        Per squared unit of the activations, above 0.
    ridge : float
        Added to the diagonal; with 0 the kernel is singular where neurons answer the same.

    Returns
    -------
    float64 array (neurons, neurons)
        Symmetric, positive semi-definite.
    """
    answers = np.asarray(activations, np.float64)
    # About their mean the products are small, and so is what their difference loses.
    products = _gram(answers - answers.mean(axis=1, keepdims=True))
    squares = products.diagonal()
    squared = np.maximum(squares[:, None] + squares[None, :] - 2 * products, 0.0) / len(answers)
    np.fill_diagonal(squared, 0.0)
    kernel: Matrix = np.exp(-sharpness * squared) + ridge * np.eye(len(squared))
    return kernel


def _gram(values: Matrix) -> Matrix:
    product: Matrix = values.T @ values
    return (product + product.T) / 2


def sample(kernel: Matrix, k: int, rng: np.random.Generator) -> tuple[int, ...]:
    """Draw k items, a set with a probability in proportion to the determinant of its part of the kernel.

    Parameters
    ----------
    kernel : array (n, n)
        Symmetric, positive semi-definite.
    k : int
        From 1 to the kernel's rank.
    rng : numpy Generator

    Returns
    -------
    tuple of int
        In order.

    Raises
    ------
    DiversityError
        If the kernel is none, or has a rank below k.
    """
    eigenvalues, vectors = _spectrum(kernel, k)
    with np.errstate(divide="ignore"):
        logs = np.log(eigenvalues)
    table = log_elementary(logs, k)
    chosen, wanted = [], k
    for last in range(len(logs), 0, -1):
        if not wanted:
            break
        # The chance that all that are wanted are before the last of these: exactly 0 where there are not so many.
        without = np.exp(table[wanted, last - 1] - table[wanted, last])
        if rng.random() >= without:
            chosen.append(last - 1)
            wanted -= 1
    basis = vectors[:, chosen]

    def by_weight(weights: Vector) -> int:
        return int(rng.choice(len(weights), p=weights / weights.sum()))

    return _one_by_one(np.square(basis).sum(axis=1), lambda item: basis @ basis[item], k, by_weight)


def greedy(kernel: Matrix, k: int) -> tuple[int, ...]:
    """Return k items, each of which raises the determinant most after those before it; of equals the first.

    The arguments and errors are those of `sample`.
    """
    _spectrum(kernel, k)
    symmetric = np.asarray(kernel, np.float64)
    return _one_by_one(symmetric.diagonal().copy(), lambda item: symmetric[item], k, lambda gains: int(gains.argmax()))


def _one_by_one(left: Vector, row: Callable[[int], Vector], k: int, choose: Callable[[Vector], int]) -> tuple[int, ...]:
    """Choose k items one after the other, by what is left of each beside those chosen.

    That is the conditional variance, kept up to date by one row of a Cholesky factor for each choice.
    """
    factor = np.zeros((k, len(left)))
    items: list[int] = []
    for step in range(k):
        item = choose(np.maximum(left, 0.0))
        factor[step] = (row(item) - factor[:step, item] @ factor[:step]) / np.sqrt(left[item])
        left = left - factor[step] ** 2
        items.append(item)
        left[items] = 0.0
    return tuple(sorted(items))


def inclusion(kernel: Matrix, k: int) -> Vector:
    """Return the probability of each item to be among the k that `sample` draws; they add up to k.

    The arguments and errors are those of `sample`.
    """
    eigenvalues, vectors = _spectrum(kernel, k)
    with np.errstate(divide="ignore"):
        logs = np.log(eigenvalues)
    count = len(logs)
    before, after = log_elementary(logs, k), log_elementary(logs[::-1], k)
    chances = np.empty(count)
    for index in range(count):
        # Of the others k - 1 are taken: so many before this one, the rest after it.
        others = np.logaddexp.reduce(before[:k, index] + after[:k, count - 1 - index][::-1])
        chances[index] = np.exp(logs[index] + others - before[k, count])
    probabilities: Vector = np.square(vectors) @ chances
    return probabilities


def log_elementary(logs: Vector, k: int) -> Matrix:
    """Return the logarithms of the elementary symmetric polynomials of the first values.

    Parameters
    ----------
    logs : array (n,)
        Logarithms of values of 0 or more; products of hundreds of them would leave the range of floats.
    k : int

    Returns
    -------
    float64 array (k + 1, n + 1)
        At [degree, m] that of the first m values; minus infinity for 0.
    """
    table = np.full((k + 1, len(logs) + 1), -np.inf)
    table[0] = 0.0
    for place, log in enumerate(logs):
        table[1:, place + 1] = np.logaddexp(table[1:, place], log + table[:-1, place])
    return table


def _spectrum(kernel: Matrix, k: int) -> tuple[Vector, Matrix]:
    """Return eigenvalues, those that are nothing but rounding at 0, and eigenvectors; check kernel and k."""
    matrix = np.asarray(kernel, np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not np.isfinite(matrix).all():  # noqa: PLR2004
        raise DiversityError(
            f"dpp: got a kernel of shape {matrix.shape}, or one that is not finite, expected finite numbers (n, n); "
            "make it with activation_kernel"
        )
    scale = float(np.abs(matrix).max(initial=0.0))
    eigenvalues, vectors = np.linalg.eigh(matrix)
    rounding = scale * len(matrix) ** 2 * np.finfo(np.float64).eps
    if not np.allclose(matrix, matrix.T, rtol=0, atol=rounding) or eigenvalues.min(initial=0.0) < -1e-6 * scale:
        raise DiversityError("dpp: got a kernel that is no kernel, expected a symmetric one without negative values")
    eigenvalues = np.where(eigenvalues > rounding, eigenvalues, 0.0)
    rank = int(np.count_nonzero(eigenvalues))
    if not 1 <= k <= rank:
        raise DiversityError(
            f"dpp: got k = {k} for {len(matrix)} neurons of which {rank} differ, expected 1 to {rank}; "
            "keep fewer, or add a ridge to the kernel"
        )
    return eigenvalues, vectors


@dataclass(frozen=True)
class Fusion:
    """How what a layer's neurons said is read from those that are kept.

    Attributes
    ----------
    kept : tuple of int
        The k neurons that stay.
    mixing : float64 array (k, n)
        Activations are about kept activations @ mixing + constants; a kept neuron's column is itself alone.
    constants : float64 array (n,)
        0 for kept neurons, and for all if there is no intercept.
    """

    kept: tuple[int, ...]
    mixing: Matrix
    constants: Vector

    def weights(self, following: NDArray[Any]) -> NDArray[Any]:
        """Return the next layer's weights (m, n, ...) as (m, k, ...), in their own type."""
        values = np.moveaxis(np.tensordot(np.asarray(following, np.float64), self.mixing, axes=([1], [1])), -1, 1)
        return np.ascontiguousarray(values, dtype=following.dtype)

    def shift(self, following: NDArray[Any]) -> Vector:
        """Return what is added to the next layer's biases (m,); for kernels (m, n, ...) away from the image's rim."""
        whole = np.asarray(following, np.float64).reshape(*following.shape[:2], -1).sum(axis=2)
        added: Vector = whole @ self.constants
        return added


def fuse(activations: NDArray[Any], kept: tuple[int, ...], *, intercept: bool = False) -> Fusion:
    """Return the least-squares fusion of the other neurons into the kept ones.

    Reading each neuron from the kept ones by least squares makes the next layer's outputs the nearest to what they
    were, whatever its weights, for these are linear in what they read.

    Parameters
    ----------
    activations : array (rows, n)
    kept : tuple of int
        Different neurons, at least one.
    intercept : bool
        Whether constants may help, which go into the next layer's biases.

    Raises
    ------
    DiversityError
        If neurons are kept that are not there, or none, or one twice.
    """
    answers = np.asarray(activations, np.float64)
    neurons = answers.shape[1]
    if not kept or len(set(kept)) < len(kept) or not 0 <= min(kept) <= max(kept) < neurons:
        raise DiversityError(
            f"dpp: got the neurons {list(kept)}, expected different ones from 0 to {neurons - 1}, at least one"
        )
    others = [neuron for neuron in range(neurons) if neuron not in set(kept)]
    means = answers.mean(axis=0) if intercept else np.zeros(neurons)
    centred = answers - means
    mixing = np.zeros((len(kept), neurons))
    mixing[np.arange(len(kept)), kept] = 1.0
    mixing[:, others] = np.linalg.lstsq(centred[:, kept], centred[:, others], rcond=None)[0]
    return Fusion(tuple(kept), mixing, means - means[list(kept)] @ mixing)
