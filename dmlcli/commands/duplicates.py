"""dmlcli duplicates: group near-identical images or products of an index."""

from typing import TYPE_CHECKING, Literal

from dmlcli import options

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from dmlcli.catalog import Photo
    from dmlcli.checks.near_duplicates import Groups
    from dmlcli.indexes import Index
    from dmlcli.report.duplicates import Alike, DuplicatesReport

    Group = list[tuple[Alike, Photo]]

_BLOCK = 4096  # vectors that are read at a time


def duplicates(
    *,
    threshold: options.Threshold = 0.95,
    by: options.ComparedBy = None,
    products: options.WholeProducts = False,
    html: options.DuplicatesPage = None,
    index: options.IndexPath = None,
    workspace: options.WorkspacePath = None,
) -> "DuplicatesReport":
    """Group near-identical images of an index; exit 1 if there are none.

    Images are compared by the embeddings of the index. A trained model gives all photos of a product similar
    embeddings: with one, only photos that also show the same picture pixel by pixel are listed, or, with --by
    features, those whose features of the frozen backbone, cached by training, are nearly equal. One file that is
    listed twice, or linked, is not a duplicate. --products compares products, by the mean of their images.

    Examples:

        dmlcli duplicates --threshold 0.98 --html groups.html

        dmlcli duplicates --products --format jsonl | jq -c '[.members[].product]'
    """
    from dmlcli import indexes
    from dmlcli.checks import near_duplicates
    from dmlcli.report.duplicates import DuplicatesReport
    from dmlcli.workspace import need

    _check(by, products, html)
    opened = indexes.open_index(index or need(workspace).index)
    trained = _is_trained(opened)
    usual: Literal["features", "pixels"] = "pixels" if trained and not products else "features"
    by = by or usual
    vectors = _features(opened, workspace) if by == "features" and trained and not products else opened.vectors
    if products:
        means, ids = _means(opened)
        groups = near_duplicates.group(len(ids), means.__getitem__, threshold)
    else:
        ids = opened.ids()
        groups = near_duplicates.group(len(ids), lambda rows: vectors(ids[rows]), threshold)
    cautions = []
    if groups.crowded:
        cautions.append("some are this close to more than 64 others; use a higher --threshold to separate them")
    named = _named(opened, ids, groups)
    if not products:
        named = _confirmed(named, by == "pixels", cautions)
    report = DuplicatesReport(
        index=str(opened.folder),
        threshold=threshold,
        of="products" if products else "images",
        by=by,
        searched=len(ids),
        groups=tuple(tuple(member for member, _ in group) for group in named),
        cautions=tuple(cautions),
    )
    if html is not None:
        from dmlcli.pages import duplicates as page

        page.write(html, named, report, opened.root)
    return report


def _check(by: str | None, products: bool, html: "Path | None") -> None:
    """Raise UsageError for options that exclude each other, CannotRun if the page could not be written."""
    from dmlcli import storage
    from dmlcli.errors import UsageError

    if by not in (None, "features", "pixels"):
        raise UsageError(f"invalid --by {by}", hint="--by features or --by pixels")
    if products and by is not None:
        raise UsageError("--by compares images, not --products", hint="use one of the two")
    if html is not None:
        storage.check_writable(html, new_folders=False)


def _features(index: "Index", workspace: "Path | None") -> "Callable[[NDArray[np.int64]], NDArray[np.float32]]":
    """Return a function from ids to frozen features, which training cached in the workspace."""
    from dmlcli.errors import CannotRun, ModelError
    from dmlcli.model import open_model
    from dmlcli.search import frozen_features
    from dmlcli.workspace import need

    place = need(workspace)
    try:
        frozen = open_model(place.frozen).record.fingerprint
    except ModelError as error:
        raise CannotRun(f"{place.folder} has no frozen backbone: {error}", hint=frozen_features.HINT) from error
    return frozen_features.of_index(index, place.features(frozen, "plain"))


def _is_trained(index: "Index") -> bool:
    """Return whether the index was made by a model that brings the photos of a product together."""
    from dmlcli.errors import ModelError
    from dmlcli.model import open_model

    try:
        return index.model_folder is not None and open_model(index.model_folder).record.brings_products_together
    except ModelError:
        return False


def _confirmed(groups: "list[Group]", by_pixels: bool, cautions: list[str]) -> "list[Group]":
    """Return the groups without entries that are one file, and, by pixels, only of photos that show one picture.

    Whatever is left out is added to `cautions`. The first of a group exists on disk, if any of it does.
    """
    from dmlcli.checks import identity, same_picture

    left, linked, different = [], 0, 0
    for group in groups:
        places = identity.distinct([photo for _, photo in group])
        linked += len(group) - len(places)
        parts = [[group[place] for place in places]]
        if by_pixels:
            found = same_picture.groups([photo for _, photo in parts[0]])
            different += len(parts[0]) - sum(map(len, found))
            parts = [[parts[0][place] for place in part] for part in found]
        left += [sorted(part, key=lambda one: not one[1].path.exists()) for part in parts if len(part) > 1]
    if linked:
        cautions.append(f"{linked} more are listed twice or linked to the same file; they are not duplicates")
    if different:
        cautions.append(
            f"{different} more have similar embeddings but show different pictures; a trained model gives all photos "
            "of a product similar embeddings (--by features compares them by the frozen backbone)"
        )
    return sorted(left, key=len, reverse=True)


def _means(index: "Index") -> "tuple[NDArray[np.float32], NDArray[np.int64]]":
    """Return the mean direction of each product's images (C, D), and the id of its first image (C,)."""
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


def _named(index: "Index", ids: "NDArray[np.int64]", groups: "Groups") -> "list[Group]":
    """Return the groups with products, images and scores, and where each photo lies; the largest first."""
    from dmlcli.catalog import Photo
    from dmlcli.report.duplicates import Alike
    from dmlcli.search.item_lookup import Items

    place = {int(ids[row]): int(row) for row in (groups.group >= 0).nonzero()[0]}
    boxes = [details.box for details in Items(index).details(list(place))]
    box, members = dict(zip(place, boxes, strict=True)), dict[int, "Group"]()
    for found in index.rows() if place else ():
        if found.id in place:
            row = place[found.id]
            alike = Alike(found.product, str(found.image), round(float(groups.score[row]), 6))
            members.setdefault(int(groups.group[row]), []).append((alike, Photo(found.image, box[found.id])))
    return sorted(members.values(), key=len, reverse=True)
