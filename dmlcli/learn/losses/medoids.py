"""The clustering of a batch that looks best to the facility-location loss, by exact greedy search and refinement.

numpy, since it is thousands of small steps and not one large one. Only what changes is counted: which images would
move to a new medoid shrinks with every medoid found, about B^2 ln(C) moves in all instead of B^2 C.
"""

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def search(distance: Tensor, labels: Tensor, gamma: float, sweeps: int) -> tuple[Tensor, Tensor, float]:
    """The best medoid (B,) of each image's label, the medoid (B,) that each ends with, and how unlike the two are.

    As many medoids as labels are found, to maximise gamma * (1 - NMI) - sum of each image's distance to its medoid.
    Args: distance (B, B), symmetric; gamma; how often all medoids are refined. Returns: 1 - NMI in [0, 1] at last.

    Source: Song et al., Deep Metric Learning via Facility Location, CVPR 2017, algorithms 1 and 2.
    """
    away: Floats = distance.cpu().double().numpy()
    truth = np.unique(labels.cpu().numpy(), return_inverse=True)[1].astype(np.int64)
    same = truth[:, None] == truth  # (B, B)
    cost = np.where(same, away, 0.0).sum(0)  # (B,): of each image as the medoid of its label
    true = np.where(same, cost, np.inf).argmin(1)  # (B,)
    away = away - np.eye(len(away))  # a medoid is nearer to itself than a copy can be; the same for all candidates
    by_label = truth.argsort(kind="stable")  # in this order counting moves by label is nearly sorted, hence quick
    medoids = _greedy(away[:, by_label], truth[by_label], gamma)
    medoids = _refined(medoids, away, truth, gamma, sweeps)
    clusters = away[:, medoids].argmin(1)  # (B,)
    nothing = np.zeros(0, dtype=np.int64)
    unlike = float(_unlike_after(nothing, nothing, 1, clusters, truth)[0]) if truth.any() else 0.0
    device = distance.device
    return torch.from_numpy(true).to(device), torch.from_numpy(medoids[clusters]).to(device), unlike


def _greedy(away: Floats, truth: Ints, gamma: float) -> Ints:
    """Add, once for each label, the image that raises the score most; rows of `away` (B, B) are the candidates."""
    size = len(away)
    medoids = [int(away.sum(1).argmin())]  # one cluster is as unlike the truth as another
    nearest, clusters = away[medoids[0]].copy(), np.zeros(size, dtype=np.int64)  # (B,) each
    candidate, image = np.divmod(np.arange(size * size), size)  # (M,): the images that would move to each candidate
    gain_of_move = (nearest - away).ravel()
    for _ in range(1, truth.max() + 1):
        moves = gain_of_move > 0
        candidate, image, gain_of_move = candidate[moves], image[moves], gain_of_move[moves]
        gain = np.bincount(candidate, gain_of_move, minlength=size)  # (B,)
        gain[medoids] = -np.inf
        if len(image) > 16 * size:
            # worth narrowing: as 1 - NMI is 1 at most, few candidates can beat the one with the largest gain
            leader = gain.argmax()
            mine = candidate == leader
            sure = gain[leader] + gamma * _unlike_after(candidate[mine], image[mine], size, clusters, truth)[leader]
            gain[gain + gamma < sure - 1e-9] = -np.inf
            mine = (gain > -np.inf)[candidate]
            unlike = _unlike_after(candidate[mine], image[mine], size, clusters, truth)  # (B,)
        else:
            unlike = _unlike_after(candidate, image, size, clusters, truth)  # (B,)
        best = _first_best(gain + gamma * unlike)
        moved = image[candidate == best]
        gained = np.zeros(size)
        gained[moved] = nearest[moved] - away[best, moved]
        clusters[moved], nearest[moved] = len(medoids), away[best, moved]
        gain_of_move = gain_of_move - gained[image]
        medoids.append(best)
    return np.array(medoids)


def _refined(medoids: Ints, away: Floats, truth: Ints, gamma: float, sweeps: int) -> Ints:
    """Replace each medoid by the member of its cluster that raises the score most, `sweeps` times over."""
    rows = np.arange(len(away))
    to_medoids = away[:, medoids]  # (B, C)
    clusters = to_medoids.argmin(1)  # (B,)
    for _ in range(sweeps):
        before, frozen = medoids.copy(), clusters.copy()
        for k in range(len(medoids)):
            members = np.flatnonzero(frozen == k)  # (m,)
            if len(members) < 2:
                continue
            to_medoids[:, k] = np.inf
            homeless = np.flatnonzero(clusters == k)
            clusters[homeless] = to_medoids[homeless].argmin(1)  # where each image would be without this medoid
            to_others = to_medoids[rows, clusters]  # (B,)
            candidate, image = np.nonzero(away[members] < to_others)
            score = gamma * _unlike_after(candidate, image, len(members), clusters, truth)
            score -= away[members][:, members].sum(0)
            medoids[k] = members[_first_best(score)]
            to_medoids[:, k] = away[medoids[k]]
            clusters[away[medoids[k]] < to_others] = k
        if (medoids == before).all():
            break
    return medoids


def _first_best(score: Floats) -> int:
    """The lowest index among the best, which rounding errors would else hide."""
    return int(score.round(9).argmax())


def _unlike_after(candidate: Ints, image: Ints, many: int, clusters: Ints, truth: Ints) -> Floats:
    """1 - NMI (many,) for each candidate, if its images moved out of `clusters` (B,) into a new one.

    `candidate` (M,) and `image` (M,) list the moves.
    """
    size, labels, width = len(truth), int(truth.max()) + 1, int(clusters.max()) + 1
    xlogx = _xlogx(size)
    cells = truth * width + clusters  # (B,)
    cells_left = np.sort(candidate * (labels * width) + cells[image], kind="stable")
    cell, in_cell = _runs(cells_left)
    label, in_label = _runs(cells_left // width)
    cluster, in_cluster = _tally(candidate * width + clusters[image], many * width)

    def left(groups: Ints, group: Ints, count: Ints, total: int) -> Floats:
        """The sum (many,) of n ln(n) over `groups` (B,) without each candidate's moves."""
        sizes = np.bincount(groups)
        owner, which = np.divmod(group, total)
        before = sizes[which]
        lost = np.bincount(owner, xlogx[before] - xlogx[before - count], minlength=many)
        kept: Floats = np.log(sizes[groups]).sum() - lost
        return kept

    of_clusters = left(clusters, cluster, in_cluster, width) + xlogx[np.bincount(candidate, minlength=many)]
    of_cells = left(cells, cell, in_cell, labels * width) + np.bincount(
        label // labels, xlogx[in_label], minlength=many
    )
    return _unlike(xlogx[np.bincount(truth)].sum(), of_clusters, of_cells, size)


def _unlike(of_truth: float, of_clusters: Floats, of_cells: Floats, size: int) -> Floats:
    """1 - NMI with the geometric mean, from sums of n ln(n) over the labels, the clusters, and both together."""
    truth, clusters, both = (np.log(size) - total / size for total in (of_truth, of_clusters, of_cells))  # entropies
    scale = np.sqrt(np.maximum(truth * clusters, 0.0))
    shared: Floats = np.divide(truth + clusters - both, scale, out=np.zeros_like(scale), where=scale > 1e-9)
    return 1.0 - shared


@cache
def _xlogx(size: int) -> Floats:
    counts = np.arange(size + 1)
    return np.asarray(counts * np.log(np.maximum(counts, 1)))


def _runs(key: Ints) -> tuple[Ints, Ints]:
    """The distinct values of a sorted array, and how often each occurs."""
    starts = np.ones(len(key), dtype=bool)
    starts[1:] = key[1:] != key[:-1]
    first = np.flatnonzero(starts)
    counts = np.empty_like(first)
    counts[:-1] = first[1:] - first[:-1]
    counts[-1:] = len(key) - first[-1:]
    return key[first], counts


def _tally(key: Ints, bound: int) -> tuple[Ints, Ints]:
    """The distinct values, all below `bound`, and how often each occurs, by whichever way is quicker."""
    if bound > 16 * len(key):
        return _runs(np.sort(key))
    counts = np.bincount(key, minlength=1)
    values = np.flatnonzero(counts)
    return values, counts[values]
