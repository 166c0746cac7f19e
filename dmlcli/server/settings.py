"""Addresses, token and limits of a server."""

import ipaddress
from dataclasses import dataclass

from dmlcli.errors import UsageError

_SHORTEST_TOKEN = 16  # characters
_TOKEN_HINT = "DMLCLI_SERVE_TOKEN=$(openssl rand -hex 16) dmlcli serve …"


@dataclass(frozen=True)
class Limits:
    """What one client may ask for."""

    body_bytes: int = 20_000_000  # of one photo, or of a request with several
    batch_bytes: int = 500_000_000  # of a batch
    batch_photos: int = 500
    fused_photos: int = 10
    top_k: int = 1000
    pixels: int = 50_000_000  # of one photo
    header_seconds: float = 10.0  # until a request has begun
    body_seconds: float = 30.0  # until its body has arrived; for a batch, between two parts of it
    open_requests: int = 64  # of all clients together
    open_requests_each: int = 32  # of one address
    drain_seconds: int = 10  # that open requests have to finish after a signal


@dataclass(frozen=True)
class ServerSettings:
    """What the user decides of a server."""

    host: str = "127.0.0.1"
    port: int = 8765
    token: str | None = None
    show_paths: bool = False
    allow_urls: bool = False
    limits: Limits = Limits()

    def check(self) -> None:
        """Raise UsageError where other machines could search without a token."""
        if self.token is not None and len(self.token) < _SHORTEST_TOKEN:
            raise UsageError(f"--token has fewer than {_SHORTEST_TOKEN} characters", hint=_TOKEN_HINT)
        if self.token is None and not self.is_local:
            raise UsageError(
                f"--host {self.host} can be reached from other machines, which needs a token", hint=_TOKEN_HINT
            )

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:  # a name
            return False

    def url(self, port: int) -> str:
        """Return the address of the page.

        >>> ServerSettings("::1").url(8765)
        'http://[::1]:8765'
        """
        return f"http://[{self.host}]:{port}" if ":" in self.host else f"http://{self.host}:{port}"
