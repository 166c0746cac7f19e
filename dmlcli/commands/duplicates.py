"""dmlcli duplicates: near-identical images, or products, of an index, in groups."""

from typing import TYPE_CHECKING

from dmlcli import options

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dmlcli.checks.likeness import Groups
    from dmlcli.indexes import Index
    from dmlcli.report.duplicates import Alike, DuplicatesReport

_BLOCK = 4096  # vectors that are read at a time


def duplicates(
    *,
    threshold: options.Threshold = 0.95,
    products: options.WholeProducts = False,
    index: options.IndexPath = None,
    workspace: options.WorkspacePath = None,
) -> "DuplicatesReport":
    """Group the images of an index whose embeddings are nearly the same; exit 1 where there are none.

    A trained model draws the images of one product together: take a higher threshold, or --products, which compares
    products by the mean of their images. dmlcli doctor compares the pictures themselves.

    Examples:

        dmlcli duplicates --threshold 0.98

        dmlcli duplicates --products --format jsonl | jq -c '[.members[].product]'
    """
    from dmlcli import indexes
    from dmlcli.checks import likeness
    from dmlcli.report.duplicates import DuplicatesReport
    from dmlcli.workspace import need

    opened = indexes.open_index(index or need(workspace).index)
    if products:
        vectors, ids = _means(opened)
        groups = likeness.group(len(ids), vectors.__getitem__, threshold)
    else:
        ids = opened.ids()
        groups = likeness.group(len(ids), lambda rows: opened.vectors(ids[rows]), threshold)
    caution = (
        "some are as close to more than 64 others; a higher --threshold tells them apart" if groups.crowded else ""
    )
    return DuplicatesReport(
        index=str(opened.folder),
        threshold=threshold,
        of="products" if products else "images",
        searched=len(ids),
        groups=_named(opened, ids, groups),
        caution=caution,
    )


def _means(index: "Index") -> "tuple[NDArray[np.float32], NDArray[np.int64]]":
    """The mean direction of each product's images (C, D), and the id of its first image (C,)."""
    import numpy as np

    label_of: dict[str, int] = {}
    firsts, ids, labels = [], [], []
    for row in index.rows():
        if row.product:
            if row.product not in label_of:
                label_of[row.product] = len(label_of)
                firsts.append(row.id)
            ids.append(row.id)
            labels.append(label_of[row.product])
    sums = np.zeros((len(firsts), index.dim), dtype=np.float32)
    for start in range(0, len(ids), _BLOCK):
        part = slice(start, start + _BLOCK)
        np.add.at(sums, labels[part], index.vectors(np.array(ids[part], dtype=np.int64)))
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    sums /= np.where(lengths == 0, 1, lengths)
    return sums, np.array(firsts, dtype=np.int64)


def _named(index: "Index", ids: "NDArray[np.int64]", groups: "Groups") -> "tuple[tuple[Alike, ...], ...]":
    """The groups with products, images and scores; the largest first."""
    from dmlcli.report.duplicates import Alike

    place = {int(ids[row]): int(row) for row in (groups.group >= 0).nonzero()[0]}
    members: dict[int, list[Alike]] = {}
    for found in index.rows() if place else ():
        if found.id in place:
            row = place[found.id]
            alike = Alike(found.product, str(found.image), round(float(groups.score[row]), 6))
            members.setdefault(int(groups.group[row]), []).append(alike)
    return tuple(tuple(group) for group in sorted(members.values(), key=len, reverse=True))
