"""Error for queries and gallery without common product names, with the likely reason."""

import re
from collections.abc import Callable, Collection
from pathlib import PurePosixPath

from dmlcli.errors import CatalogError

_CLOSE = 0.5  # share of the queries' products that a change of spelling has to match before it is suggested

# What two lists of the same products often differ by, and what makes the two spellings one.
_SPELLINGS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("spaces around the names", str.strip),
    ("upper and lower case", str.casefold),
    ("leading zeros", lambda name: re.sub(r"(?<![^\W_])0+(?=\d)", "", name)),
    ("decimals, as of a number column (7.0)", lambda name: re.sub(r"(?<=\d)\.0+$", "", name)),
    ("folders before the names", lambda name: PurePosixPath(name).name),
    ("separators", lambda name: re.sub(r"[\s_\-./]+", "", name).casefold()),
    ("a prefix", lambda name: re.sub(r"^[^\d]*[\s_\-./:#](?=\d)", "", name)),
)


def check_some_match(queries: Collection[str], gallery: Collection[str]) -> None:
    """Raise CatalogError where no product of the queries is in the gallery.

    The error shows a name of each side, and says what they differ by where that would make half of them match.
    """
    if set(queries) & set(gallery) or not gallery:
        return
    hint = "use the same product names for queries and gallery; --product-column NAME selects the column"
    query_name, gallery_name = min(queries), min(gallery)
    for difference, plain in _SPELLINGS:
        known = {plain(name): name for name in sorted(gallery)}
        matching = sorted(name for name in set(queries) if plain(name) in known)
        if len(matching) >= _CLOSE * len(set(queries)):
            query_name, gallery_name = matching[0], known[plain(matching[0])]
            hint = f"the names differ by {difference}: use one spelling on both sides"
            break
    raise CatalogError(
        f"no product of the queries is in the gallery: the queries have '{query_name}', the gallery has "
        f"'{gallery_name}' ({len(set(queries))} and {len(set(gallery))} products)",
        hint=hint,
    )
