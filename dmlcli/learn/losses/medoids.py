"""The clustering of a batch that looks best to the facility-location loss, by exact greedy search and refinement.

numpy, since it is thousands of small steps and not one large one. Only what changes is counted: which images would
move to a new medoid shrinks with every medoid found, about B^2 ln(C) moves in all instead of B^2 C.
"""

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
    away: Floats = distance.double().cpu().numpy()
    truth = np.unique(labels.cpu().numpy(), return_inverse=True)[1].astype(np.int64)
    same = truth[:, None] == truth  # (B, B)
    cost = np.where(same, away, 0.0).sum(0)  # (B,): of each image as the medoid of its label
    true = np.where(same, cost, np.inf).argmin(1)  # (B,)
    away = away - np.eye(len(away))  # a medoid is nearer to itself than a copy can be; the same for all candidates
    medoids = _refined(_greedy(away, truth, gamma), away, truth, gamma, sweeps)
    clusters = away[:, medoids].argmin(1)  # (B,)
    nothing = np.zeros(0, dtype=np.int64)
    unlike = float(_unlike_after(nothing, nothing, clusters, truth)[0]) if truth.any() else 0.0
    device = distance.device
    return torch.from_numpy(true).to(device), torch.from_numpy(medoids[clusters]).to(device), unlike


def _greedy(away: Floats, truth: Ints, gamma: float) -> Ints:
    """Add, once for each label, the image that raises the score most."""
    size = len(away)
    medoids = [int(away.sum(0).argmin())]  # one cluster is as unlike the truth as another
    nearest, clusters = away[medoids[0]].copy(), np.zeros(size, dtype=np.int64)  # (B,) each
    candidate, image = np.divmod(np.arange(size * size), size)  # (M,): the images that would move to each candidate
    gain_of_move = (nearest - away).ravel()
    for _ in range(1, truth.max() + 1):
        moves = gain_of_move > 0
        candidate, image, gain_of_move = candidate[moves], image[moves], gain_of_move[moves]
        gain = np.bincount(candidate, gain_of_move, minlength=size)  # (B,)
        gain[medoids] = -np.inf
        # 1 - NMI is 1 at most: only those that it could lift above the candidate with the largest gain need one
        sure = gain.max() + gamma * _unlike_after(*_moves_of(gain == gain.max(), candidate, image), clusters, truth)
        hopeful = gain + gamma >= sure[gain.argmax()] - 1e-9  # (B,)
        unlike = _unlike_after(*_moves_of(hopeful, candidate, image), clusters, truth)  # (B,)
        best = _first_best(np.where(hopeful, gain + gamma * unlike, -np.inf))
        moved = image[candidate == best]
        before = nearest.copy()
        clusters[moved], nearest[moved] = len(medoids), away[best, moved]
        gain_of_move = gain_of_move - (before - nearest)[image]
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
            score = gamma * _unlike_after(candidate, image, clusters, truth)[: len(members)]
            score -= away[members][:, members].sum(0)
            medoids[k] = members[_first_best(score)]
            to_medoids[:, k] = away[medoids[k]]
            clusters[away[medoids[k]] < to_others] = k
        if (medoids == before).all():
            break
    return medoids


def _moves_of(wanted: NDArray[np.bool_], candidate: Ints, image: Ints) -> tuple[Ints, Ints]:
    mine = wanted[candidate]
    return candidate[mine], image[mine]


def _first_best(score: Floats) -> int:
    """The lowest index among the best, which rounding errors would else hide."""
    return int(score.round(9).argmax())


def _unlike_after(candidate: Ints, image: Ints, clusters: Ints, truth: Ints) -> Floats:
    """1 - NMI (B,) for each candidate, if its images moved out of `clusters` (B,) into a new one.

    `candidate` (M,) and `image` (M,) list the moves.
    """
    size, labels = len(truth), int(truth.max()) + 1
    xlogx = np.arange(size + 1) * np.log(np.maximum(np.arange(size + 1), 1))  # (B + 1,)

    def left(groups: Ints) -> Floats:
        """The sum (B,) of n ln(n) over `groups` (B,) without each candidate's moves."""
        sizes = np.bincount(groups)
        owner, group, count = _tally(candidate, groups[image])
        loss = xlogx[sizes[group]] - xlogx[sizes[group] - count]
        kept: Floats = np.log(sizes[groups]).sum() - np.bincount(owner, loss, minlength=size)
        return kept

    owner, _, count = _tally(candidate, truth[image])
    of_clusters = left(clusters) + xlogx[np.bincount(candidate, minlength=size)]
    of_cells = left(clusters * labels + truth) + np.bincount(owner, xlogx[count], minlength=size)
    return _unlike(xlogx[np.bincount(truth)].sum(), of_clusters, of_cells, size)


def _unlike(of_truth: float, of_clusters: Floats, of_cells: Floats, size: int) -> Floats:
    """1 - NMI with the geometric mean, from sums of n ln(n) over the labels, the clusters, and both together."""
    truth, clusters, both = (np.log(size) - total / size for total in (of_truth, of_clusters, of_cells))  # entropies
    scale = np.sqrt(np.maximum(truth * clusters, 0.0))
    shared: Floats = np.divide(truth + clusters - both, scale, out=np.zeros_like(scale), where=scale > 1e-9)
    return 1.0 - shared


def _tally(candidate: Ints, group: Ints) -> tuple[Ints, Ints, Ints]:
    """The distinct (candidate, group) among the moves (M,), and how often each occurs."""
    width = int(group.max(initial=0)) + 1
    key = np.sort(candidate * width + group)
    first = np.flatnonzero(np.append(True, key[1:] != key[:-1])[: len(key)])
    owner, group = np.divmod(key[first], width)
    return owner, group, np.append(first[1:], len(key))[: len(first)] - first
