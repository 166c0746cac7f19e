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
    """Return, for each image, the best medoid (B,) of its label and its medoid (B,) in the search, and 1 - NMI.

    As many medoids as labels are found, to maximize gamma * (1 - NMI) - sum of each image's distance to its medoid.
    NMI compares the clusters of these medoids with the labels; 1 - NMI is in [0, 1], and 0 for a single label.

    Args:
        distance: (B, B), symmetric.
        labels: (B,).
        gamma: weight of 1 - NMI.
        sweeps: number of times that all medoids are refined.

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
    unlike = _Clusters(truth, clusters).unlike() if truth.any() else 0.0
    device = distance.device
    return torch.from_numpy(true).to(device), torch.from_numpy(medoids[clusters]).to(device), unlike


def _greedy(away: Floats, truth: Ints, gamma: float) -> Ints:
    """Add, once for each label, the image that raises the score most; rows of `away` (B, B) are the candidates."""
    size = len(away)
    medoids = [int(away.sum(1).argmin())]  # one cluster is as unlike the truth as another
    nearest, clusters = away[medoids[0]].copy(), _Clusters(truth, np.zeros(size, dtype=np.int64))
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
            sure = gain[leader] + gamma * clusters.unlike_after(candidate[mine], image[mine], size)[leader]
            gain[gain + gamma < sure - 1e-9] = -np.inf
            mine = (gain > -np.inf)[candidate]
            unlike = clusters.unlike_after(candidate[mine], image[mine], size)  # (B,)
        else:
            unlike = clusters.unlike_after(candidate, image, size)  # (B,)
        best = _first_best(gain + gamma * unlike)
        moved = image[candidate == best]
        gained = np.zeros(size)
        gained[moved] = nearest[moved] - away[best, moved]
        clusters.move(moved, len(medoids))
        nearest[moved] = away[best, moved]
        gain_of_move = gain_of_move - gained[image]
        medoids.append(best)
    return np.array(medoids)


def _refined(medoids: Ints, away: Floats, truth: Ints, gamma: float, sweeps: int) -> Ints:
    """Replace each medoid by the member of its cluster that raises the score most, `sweeps` times over."""
    rows = np.arange(len(away))
    to_medoids = away[:, medoids]  # (B, C)
    clusters = _Clusters(truth, to_medoids.argmin(1))
    settled = np.zeros(len(medoids), dtype=bool)  # nothing has changed since these were looked at
    frozen = clusters.of.copy()
    for _ in range(sweeps):
        changed = clusters.of != frozen
        settled[frozen[changed]] = settled[clusters.of[changed]] = False
        frozen = clusters.of.copy()
        for k in range(len(medoids)):
            members = np.flatnonzero(frozen == k)  # (m,)
            if settled[k] or len(members) < 2:
                continue
            to_medoids[:, k] = np.inf
            homeless = np.flatnonzero(clusters.of == k)
            clusters.move(homeless, to_medoids[homeless].argmin(1))  # where each would be without this medoid
            to_others = to_medoids[rows, clusters.of]  # (B,)
            candidate, image = np.nonzero(away[members] < to_others)
            score = gamma * clusters.unlike_after(candidate, image, len(members))
            score -= away[members][:, members].sum(0)
            best = members[_first_best(score)]
            settled &= best == medoids[k]
            settled[k] = True
            medoids[k] = best
            to_medoids[:, k] = away[medoids[k]]
            clusters.move(np.flatnonzero(away[medoids[k]] < to_others), k)
    return medoids


def _first_best(score: Floats) -> int:
    """Return the lowest index among the best, which rounding errors would else hide."""
    return int(score.round(9).argmax())


class _Clusters:
    """The cluster (B,) of each image and its mutual information with the labels, updated as images move."""

    def __init__(self, truth: Ints, of: Ints) -> None:
        self.truth, self.of = truth, of
        self._labels = int(truth.max()) + 1
        self._cell = truth * self._labels + of  # (B,): as many clusters as labels, in the end
        self._cells = np.bincount(self._cell, minlength=self._labels**2)  # images of each label in each cluster
        self._sizes = np.bincount(of, minlength=self._labels)  # of the clusters
        counts = np.arange(len(truth) + 1)
        self._log = np.log(np.maximum(counts, 1))
        self._xlogx = counts * self._log
        self._of_truth = self._xlogx[np.bincount(truth)].sum()

    def move(self, images: Ints, to: Ints | int) -> None:
        """Put images into other clusters."""
        self.of[images] = to
        np.subtract.at(self._cells, self._cell[images], 1)
        self._cell[images] = self.truth[images] * self._labels + to
        np.add.at(self._cells, self._cell[images], 1)
        self._sizes = np.bincount(self.of, minlength=self._labels)

    def unlike(self) -> float:
        """1 - NMI of labels and clusters, in [0, 1]."""
        return float(self._unlike(self._xlogx[self._sizes].sum(), self._xlogx[self._cells].sum()))

    def unlike_after(self, candidate: Ints, image: Ints, many: int) -> Floats:
        """1 - NMI (many,) for each candidate, if its images moved into a new cluster of their own.

        `candidate` (M,) and `image` (M,) list the moves.
        """
        labels, xlogx = self._labels, self._xlogx
        cell, in_cell = _runs(np.sort(candidate * labels**2 + self._cell[image], kind="stable"))
        first = _first(cell // labels)
        label, in_label = cell[first] // labels, np.add.reduceat(in_cell, first) if len(first) else first
        width = int(self.of.max()) + 1
        cluster, in_cluster = _tally(candidate * width + self.of[image], many * width)

        def left(counts: Ints, of: Ints, group: Ints, lost: Ints, total: int) -> Floats:
            """Return the sum (many,) of n ln(n) over `counts` after each candidate's losses: `lost` of its `group`."""
            owner, which = np.divmod(group, total)
            before = counts[which]
            kept: Floats = self._log[counts[of]].sum() - np.bincount(owner, xlogx[before] - xlogx[before - lost], many)
            return kept

        of_clusters = left(self._sizes, self.of, cluster, in_cluster, width)
        of_clusters += xlogx[np.bincount(candidate, minlength=many)]
        of_cells = left(self._cells, self._cell, cell, in_cell, labels**2)
        of_cells += np.bincount(label // labels, xlogx[in_label], many)
        return self._unlike(of_clusters, of_cells)

    def _unlike(self, of_clusters: Floats, of_cells: Floats) -> Floats:
        """1 - NMI with the geometric mean, from sums of n ln(n) over the clusters and over both together."""
        size = len(self.of)
        truth, clusters, both = (np.log(size) - n / size for n in (self._of_truth, of_clusters, of_cells))  # entropies
        scale = np.sqrt(np.maximum(truth * clusters, 0.0))
        shared: Floats = np.divide(truth + clusters - both, scale, out=np.zeros_like(scale), where=scale > 1e-9)
        return 1.0 - shared


def _runs(key: Ints) -> tuple[Ints, Ints]:
    """Return the distinct values of a sorted array, and how often each occurs."""
    first = _first(key)
    return key[first], np.diff(first, append=len(key))


def _first(key: Ints) -> Ints:
    """Return where each value of a sorted array begins."""
    begins = np.empty(len(key), dtype=bool)
    begins[:1] = True
    np.not_equal(key[1:], key[:-1], out=begins[1:])
    return begins.nonzero()[0]


def _tally(key: Ints, bound: int) -> tuple[Ints, Ints]:
    """Return the distinct values, all below `bound`, and how often each occurs, by whichever way is quicker."""
    if bound > 16 * len(key):
        return _runs(np.sort(key))
    counts = np.bincount(key, minlength=1)
    values = np.flatnonzero(counts)
    return values, counts[values]
