"""Reference values of losses from their published formulas: plain loops over Python floats, without torch.

They share no code with the losses or their `definition`, and take other routes where there are any: angles in place of
polynomials, Moebius addition in place of distances in the ball, elimination in place of a library's inverse.
"""

import math
from collections.abc import Callable, Sequence

Row = list[float]
Rows = list[Row]
Formula = Callable[..., float]


def dot(a: Sequence[float], b: Sequence[float]) -> float:
    return math.fsum(p * q for p, q in zip(a, b, strict=True))


def length(a: Sequence[float]) -> float:
    return math.sqrt(dot(a, a))


def cosine(a: Row, b: Row) -> float:
    return dot(a, b) / (length(a) * length(b))


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value > -700 else 0.0


def cosines(x: Rows) -> Rows:
    return [[cosine(a, b) for b in x] for a in x]


def split(y: list[int], i: int) -> tuple[list[int], list[int]]:
    """The other images of i's product, and those of other products."""
    return [j for j in range(len(y)) if j != i and y[j] == y[i]], [j for j in range(len(y)) if y[j] != y[i]]


def couples(y: list[int]) -> list[tuple[int, int]]:
    rows = {label: [i for i in range(len(y)) if y[i] == label] for label in y}
    return [(same[0], same[1]) for same in rows.values() if len(same) > 1]


def large_margin_softmax(x: Rows, y: list[int], weight: Rows, margin: int = 4, lam: float = 5.0) -> float:
    values = []
    for row, label in zip(x, y, strict=True):
        logits = [dot(row, w) for w in weight]
        angle = math.acos(cosine(row, weight[label]))
        k = next(k for k in range(margin) if angle <= (k + 1) * math.pi / margin)
        psi = (-1) ** k * math.cos(margin * angle) - 2 * k
        logits[label] = length(row) * length(weight[label]) * (psi + lam * math.cos(angle)) / (1 + lam)
        values.append(math.log(math.fsum(math.exp(logit - logits[label]) for logit in logits)))
    return mean(values)


def p2s_grad(x: Rows, y: list[int], weight: Rows) -> float:
    return mean([(cosine(x[i], weight[c]) - (y[i] == c)) ** 2 for i in range(len(x)) for c in range(len(weight))])


def threshold_consistent_margin(x: Rows, y: list[int], plus: float = 0.9, minus: float = 0.5) -> float:
    s, pull, push = cosines(x), [], []
    for i in range(len(x)):
        positives, negatives = split(y, i)
        pull += [plus - s[i][j] for j in positives if s[i][j] <= plus]
        push += [s[i][j] - minus for j in negatives if s[i][j] >= minus]
    return mean(pull) + mean(push)


def intra_pair_variance(x: Rows, y: list[int], eps: float = 0.01) -> float:
    s = cosines(x)
    positives = [s[i][j] for i in range(len(x)) for j in split(y, i)[0]]
    negatives = [s[i][j] for i in range(len(x)) for j in split(y, i)[1]]
    pull = [max(0.0, (1 - eps) * mean(positives) - value) ** 2 for value in positives]
    return mean(pull) + mean([max(0.0, value - (1 + eps) * mean(negatives)) ** 2 for value in negatives])


def instance(x: Rows, y: list[int], gamma: float = 64.0) -> float:
    s, values = cosines(x), []
    for i in range(len(x)):
        own = math.fsum(math.exp(gamma * (s[i][j] - 1)) for j in range(len(x)) if y[j] == y[i])
        values.append(math.log(math.fsum(math.exp(gamma * (s[i][j] - 1)) for j in range(len(x))) / own))
    return mean(values)


def pnp(x: Rows, y: list[int], variant: str = "Dq", temperature: float = 0.01) -> float:
    penalty: dict[str, Callable[[float], float]] = {
        "O": lambda r: r,
        "Iu": lambda r: (1 + r) * math.log(1 + r),
        "Ib": lambda r: (2 * r - math.log(1 + 2 * r)) / 4,
        "Ds": lambda r: math.log(1 + r),
        "Dq": lambda r: r / (1 + r),
    }
    s, values = cosines(x), []
    for i in range(len(x)):
        positives, negatives = split(y, i)
        if positives:
            ahead = [math.fsum(sigmoid((s[i][n] - s[i][p]) / temperature) for n in negatives) for p in [*positives, i]]
            values.append(mean([penalty[variant](count) for count in ahead]))
    return mean(values)


def dynamic_soft_margin(x: Rows, y: list[int], bins: int = 512) -> float:
    unit = [[entry / length(row) for entry in row] for row in x]
    d = [[math.dist(a, b) for b in unit] for a in unit]
    gaps = []
    for i in range(len(x)):
        positives, negatives = split(y, i)
        if negatives:
            gaps += [d[i][p] - min(min(d[i][n], d[p][n]) for n in negatives) for p in positives]
    places = [(gap + 2) * bins / 4 for gap in gaps]
    values = []
    for gap, place in zip(gaps, places, strict=True):
        # of a value between two nodes, the lower one holds what is left of its distance to the upper one
        share = math.fsum(min(1.0, max(0.0, math.floor(place) + 1 - other)) for other in places) / len(gaps)
        values.append(share * gap)
    return mean(values)


def vicreg(x: Rows, y: list[int]) -> float:
    pairs, dim = couples(y), len(x[0])
    total = 25 * mean([(x[i][k] - x[j][k]) ** 2 for i, j in pairs for k in range(dim)])
    for side in (0, 1) if pairs else ():
        view = [x[pair[side]] for pair in pairs]
        centers = [mean([row[k] for row in view]) for k in range(dim)]
        for k in range(dim):
            for m in range(dim):
                products = [(row[k] - centers[k]) * (row[m] - centers[m]) for row in view]
                covariance = math.fsum(products) / max(len(view) - 1, 1)
                if k == m:
                    total += 25 * max(0.0, 1 - math.sqrt(covariance + 1e-4)) / 2 / dim
                else:
                    total += covariance**2 / dim
    return total


def roadmap(x: Rows, y: list[int], temperature: float = 0.01, rho: float = 100.0, delta: float = 0.05) -> float:
    def bound(gap: float) -> float:
        if gap > delta:
            return rho * (gap - delta) + bound(delta)
        return sigmoid(gap / temperature) + (0.5 if gap > 0 else 0.0)

    s, losses, pull, push = cosines(x), [], [], []
    for i in range(len(x)):
        positives, negatives = split(y, i)
        pull += [0.9 - s[i][j] for j in positives if s[i][j] < 0.9]
        push += [s[i][j] - 0.6 for j in negatives if s[i][j] > 0.6]
        if not positives:
            continue
        ranking = sorted([*positives, i], key=lambda j: -s[i][j])
        precisions = []
        for rank, p in enumerate(ranking, 1):
            precisions.append(rank / (rank + math.fsum(bound(s[i][n] - s[i][p]) for n in negatives)))
        losses.append(1 - mean(precisions))
    return 0.5 * mean(losses) + 0.5 * (mean(pull) + mean(push))


def hyperbolic(x: Rows, y: list[int], c: float = 0.1, temperature: float = 0.2, radius: float = 2.3) -> float:
    root = math.sqrt(c)
    points = []
    for row in x:
        size = min(length(row), radius)
        points.append([math.tanh(root * size) / root * entry / length(row) for entry in row])

    def distance(z: Row, w: Row) -> float:
        inner, zz, ww = -dot(z, w), dot(z, z), dot(w, w)
        scale = 1 + 2 * c * inner + c * c * zz * ww
        added = [((1 + 2 * c * inner + c * ww) * -a + (1 - c * zz) * b) / scale for a, b in zip(z, w, strict=True)]
        return 2 / root * math.atanh(root * length(added))

    values = []
    for i in range(len(x)):
        positives, negatives = split(y, i)
        for p in positives if negatives else ():
            own = distance(points[i], points[p])
            rivals = math.fsum(math.exp((own - distance(points[i], points[n])) / temperature) for n in negatives)
            values.append(math.log1p(rivals))
    return mean(values)


def inverse(matrix: Rows) -> Rows:
    """Gauss and Jordan, without exchanging rows: the matrices here are dominated by their diagonals."""
    size = len(matrix)
    table = [row[:] + [float(i == j) for j in range(size)] for i, row in enumerate(matrix)]
    for i in range(size):
        table[i] = [entry / table[i][i] for entry in table[i]]
        for k in range(size):
            if k != i:
                factor = table[k][i]
                table[k] = [a - factor * b for a, b in zip(table[k], table[i], strict=True)]
    return [row[size:] for row in table]


def manifold(x: Rows, y: list[int], group_proxies: Rows, alpha: float = 0.8, margin: float = 5e-4) -> float:
    nodes, count = [*x, *group_proxies], len(x)
    affinity = [
        [math.exp(2 * max(0.0, cosine(a, b))) if i != j else 0.0 for j, b in enumerate(nodes)]
        for i, a in enumerate(nodes)
    ]
    degree = [math.fsum(row) for row in affinity]
    walk = inverse(
        [
            [float(i == j) - alpha * entry / math.sqrt(degree[i] * degree[j]) for j, entry in enumerate(row)]
            for i, row in enumerate(affinity)
        ]
    )
    walk = [[(1 - alpha) * entry for entry in row] for row in walk]

    def surprise(likeness: Row, own: int) -> float:
        gaps = [value - likeness[own] + margin for k, value in enumerate(likeness) if k != own]
        return math.log1p(math.fsum(math.exp(gap) for gap in gaps if gap >= 0))

    values = []
    for i in range(count):
        own = y[i] % len(group_proxies)
        values.append(surprise(walk[i][count:], own))
        values[-1] += surprise([cosine(walk[i], walk[count + k]) for k in range(len(group_proxies))], own)
    return mean(values)


def embedding_norm(x: Rows, y: list[int]) -> float:
    return mean([length(row) for row in x])


def zero_mean(x: Rows, y: list[int]) -> float:
    return mean([abs(math.fsum(row)) for row in x])


def center_spread(x: Rows, y: list[int]) -> float:
    unit = [[entry / length(row) for entry in row] for row in x]
    centers = []
    for label in set(y):
        own = [row for row, other in zip(unit, y, strict=True) if other == label]
        centers.append([mean(list(column)) for column in zip(*own, strict=True)])
    if len(centers) < 2:
        return 0.0
    return mean([max(cosine(a, b) for b in centers if b is not a) for a in centers])


def spectral(x: Rows, y: list[int]) -> float:
    """Singular values by Jacobi rotations of the columns of the taller side."""
    unit = [[entry / length(row) for entry in row] for row in x]
    columns = unit if len(unit) < len(unit[0]) else [list(column) for column in zip(*unit, strict=True)]
    for _ in range(40):
        for i in range(len(columns)):
            for j in range(i):
                a, b = columns[i], columns[j]
                angle = 0.5 * math.atan2(2 * dot(a, b), dot(a, a) - dot(b, b))
                c, s = math.cos(angle), math.sin(angle)
                columns[i] = [c * p + s * q for p, q in zip(a, b, strict=True)]
                columns[j] = [c * q - s * p for p, q in zip(a, b, strict=True)]
    values = [length(column) for column in columns]
    shares = [max(value / math.fsum(values), 1e-6) for value in values]
    return -math.log(len(values)) - mean([math.log(share) for share in shares])


FORMULAS: dict[str, Formula] = {
    "center-spread": center_spread,
    "dynamic-soft-margin": dynamic_soft_margin,
    "embedding-norm": embedding_norm,
    "hyperbolic": hyperbolic,
    "instance": instance,
    "intra-pair-variance": intra_pair_variance,
    "large-margin-softmax": large_margin_softmax,
    "manifold": manifold,
    "p2s-grad": p2s_grad,
    "pnp": pnp,
    "roadmap": roadmap,
    "spectral": spectral,
    "threshold-consistent-margin": threshold_consistent_margin,
    "vicreg": vicreg,
    "zero-mean": zero_mean,
}
