"""Errors of the tool as answers over HTTP: a fitting status, and no path of the disk."""

from dmlcli.errors import CannotRun, DmlcliError, ImageError, TooLargeError, UsageError
from dmlcli.server.search_request import UnsupportedBody

_STATUS: tuple[tuple[type[DmlcliError], int], ...] = (
    (UnsupportedBody, 415),
    (UsageError, 400),
    (TooLargeError, 413),
    (ImageError, 422),
    (CannotRun, 503),
)
_HIDDEN = "the index cannot be searched at the moment"


def status_of(error: DmlcliError) -> int:
    """Return the status of HTTP for an error."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def described(error: DmlcliError) -> str:
    """Return the message for a client: that of a wrong request in full, that of the server's own troubles not."""
    return str(error) if isinstance(error, UsageError | ImageError) else _HIDDEN
