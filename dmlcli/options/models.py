"""Which models of the workspace, and what to do with them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from dmlcli.options.spec import Argument, Option

if TYPE_CHECKING:  # what a caller in Python may pass
    from dmlcli.arguments import Names as _Names
else:  # what the command line reads
    _Names = list[str] | None

ModelsAction = Annotated[str, Argument(help="list, use or diff.")]
ModelNames = Annotated[_Names, Argument(help="Fingerprints, or their first digits: one for use, one or two for diff.")]
DiffQueries = Annotated[
    Path | None,
    Option(
        panel="Protocol",
        help="With diff: search with these images (a catalog) in the indexed catalog, not with held-out photos.",
    ),
]
