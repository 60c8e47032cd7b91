"""Under which addresses others reach the page, and the QR code that opens the first of them on a phone."""

import io
import ipaddress
import socket
from contextlib import suppress


def addresses(host: str, port: int) -> list[str]:
    """Addresses that a browser can open, of a page that is served at `host`; the likeliest first.

    For 0.0.0.0 and :: those of this machine that others may reach; its name, if none is known.
    """
    if host not in ("0.0.0.0", "::"):
        return [_url(host, port)]
    family, far = (socket.AF_INET6, "2001:db8::1") if host == "::" else (socket.AF_INET, "192.0.2.1")
    found = []
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as way:
        way.connect((far, 9))  # sends nothing: it only chooses the network that leads out of the house
        found.append(way.getsockname()[0])
    with suppress(OSError):
        found += [about[4][0] for about in socket.getaddrinfo(socket.gethostname(), port, family, socket.SOCK_STREAM)]
    reached = [address for address in dict.fromkeys(found) if _is_reached(address)]
    return [_url(address, port) for address in reached or [socket.gethostname()]]


def _is_reached(address: str) -> bool:
    try:
        known = ipaddress.ip_address(address)
    except ValueError:  # fe80::1%eth0
        return False
    return not (known.is_loopback or known.is_link_local or known.is_unspecified)


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def qr_code(text: str) -> str | None:
    """A QR code for a terminal, two rows in a line; None if segno is not installed."""
    try:
        import segno
    except ModuleNotFoundError:
        return None
    code = io.StringIO()
    segno.make(text, micro=False).terminal(code, compact=True, border=2)
    return code.getvalue()
