"""Photos behind public URLs (--allow-urls): never an address of this machine or network.

The name is looked up once, all its addresses must be public, and the request goes to the address that was checked: a
name server that answers differently the second time changes nothing. Each redirect is checked in the same way.
"""

import asyncio
import ipaddress
import socket

import httpx

from dmlcli.errors import CannotRun, TooLargeError, UsageError

_SECONDS = 10.0  # for all of it
_REDIRECTS = 3
_PORTS = {"http": 80, "https": 443}
_HINT = "use the https:// address of an image on the internet"


async def fetch(url: str, most: int) -> bytes:
    """Return the file behind a URL.

    Args:
        url: http or https, on the port of its scheme.
        most: bytes that it may have.

    Raises:
        UsageError: the URL is none, or leads to an address that is not public.
        TooLargeError: the file is larger than `most`.
        CannotRun: the server cannot be reached in time, or answers with an error.
    """
    try:
        async with asyncio.timeout(_SECONDS), httpx.AsyncClient(trust_env=False, timeout=_SECONDS) as client:
            for _ in range(_REDIRECTS + 1):
                found = await _get(client, httpx.URL(url), most)
                if isinstance(found, bytes):
                    return found
                url = found
    except (httpx.HTTPError, OSError, TimeoutError) as error:
        raise CannotRun(f"the photo cannot be fetched: {type(error).__name__}", hint=_HINT) from error
    except httpx.InvalidURL as error:
        raise UsageError("the URL is not valid", hint=_HINT) from error
    raise CannotRun(f"the URL redirects more than {_REDIRECTS} times", hint=_HINT)


async def _get(client: httpx.AsyncClient, url: httpx.URL, most: int) -> bytes | str:
    """Return the file behind a URL, or the URL that it redirects to."""
    address = await _public_address(url)
    request = client.build_request(
        "GET", url.copy_with(host=address), headers={"Host": url.host}, extensions={"sni_hostname": url.host}
    )
    response = await client.send(request, stream=True)
    try:
        if response.has_redirect_location:
            return str(url.join(response.headers["location"]))
        if response.status_code != 200:
            raise CannotRun(f"the server of the photo answers with status {response.status_code}", hint=_HINT)
        data = bytearray()
        async for chunk in response.aiter_bytes():
            data += chunk
            if len(data) > most:
                raise TooLargeError(f"the file is larger than {most:,} bytes")
        return bytes(data)
    finally:
        await response.aclose()


async def _public_address(url: httpx.URL) -> str:
    """Return an address of the server; raises UsageError unless all of its addresses are public."""
    if url.scheme not in _PORTS or not url.host or url.port not in (None, _PORTS[url.scheme]) or url.userinfo:
        raise UsageError("only plain http and https URLs on ports 80 and 443 are fetched", hint=_HINT)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            url.host, _PORTS[url.scheme], type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )
    except (OSError, UnicodeError) as error:
        raise CannotRun("the name of the server is not known", hint=_HINT) from error
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses or not all(_is_public(address) for address in addresses):
        raise UsageError("the URL leads to an address that is not public", hint=_HINT)
    return addresses[0]


def _is_public(address: str) -> bool:
    """Return whether an IP address can be reached on the internet, and the one that it may embed, too.

    >>> [_is_public(address) for address in ("93.184.216.34", "127.0.0.1", "169.254.169.254", "::ffff:10.0.0.1")]
    [True, False, False, False]
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if inner is not None and not inner.is_global:
            return False
        if found in _NAT64:  # the last 32 bits are an IPv4 address
            return ipaddress.IPv4Address(int(found) & 0xFFFFFFFF).is_global
    return found.is_global and not found.is_multicast


_NAT64 = ipaddress.ip_network("64:ff9b::/96")
