"""Who may ask: this page, and programs that are not pages."""

import base64
import binascii
import ipaddress
import re
import secrets
import socket
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fastcolor.app.limits import address_of

MOST_GUESSES, GUESS_SECONDS = 10, 60  # wrong passwords from one address in so many seconds

HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",  # photos are private, runs change, and all of it is near
}


class Guard:
    """Refuses what other sites' pages ask for, and tells browsers to fetch nothing from elsewhere.

    Another site can point a name of its own at this machine (DNS rebinding), so the Host header must be a name that
    this page is served under. It can send forms here, so a request that changes something must have this page's Origin
    header, or none, as programs that are not pages send it. With a `password`, browsers ask for it themselves (HTTP
    Basic, RFC 7617), with any user name.
    """

    def __init__(self, app: ASGIApp, host: str, password: str | None = None):
        self.app, self.password = app, password
        self.guesses: dict[str, list[float]] = {}  # when each address gave wrong passwords
        self.names = {"localhost", "127.0.0.1", "[::1]", host.lower(), f"[{host.lower()}]"}
        self.any_address = not is_loopback(host)  # rebinding needs a name, and an address is none
        if self.any_address:
            self.names |= {socket.gethostname().lower(), f"{socket.gethostname().lower()}.local"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's interface."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        headers = Headers(scope=scope)
        host, origin = headers.get("host", "").lower(), headers.get("origin")
        is_foreign = origin is not None and origin.lower().partition("://")[2] != host
        app = self.app
        if not self.is_here(host):
            app = JSONResponse({"sentence": "This page is not served under that name."}, 421)
        elif is_foreign and scope["method"] not in ("GET", "HEAD"):
            app = JSONResponse({"sentence": "This request comes from another site's page."}, 403)
        elif self.password is not None:
            app = self._lock(headers, address_of(scope.get("client"))) or app
        await app(scope, receive, send_guarded)

    def _lock(self, headers: Headers, address: str) -> ASGIApp | None:
        """What to answer to a request that lacks the password; None if it has it."""
        now = time.monotonic()
        guesses = [guess for guess in self.guesses.pop(address, []) if guess > now - GUESS_SECONDS]
        given = _password_in(headers.get("authorization", ""))
        is_locked = len(guesses) >= MOST_GUESSES
        if not is_locked and given is not None:
            if secrets.compare_digest(given, self.password.encode()):
                return None
            guesses.append(now)
        if guesses:
            self.guesses[address] = guesses
        if is_locked:
            return JSONResponse({"sentence": "Too many wrong passwords: wait a minute."}, 429, {"retry-after": "60"})
        asking = {"www-authenticate": 'Basic realm="fastcolor: any user name, and the password", charset="UTF-8"'}
        return JSONResponse({"sentence": "This page needs its password."}, 401, asking)

    def is_here(self, host: str) -> bool:
        """Whether a Host header is one of this page's."""
        parts = re.fullmatch(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d+)?", host)
        if not parts:
            return False
        is_address = parts[1].startswith("[") or re.fullmatch(r"\d+\.\d+\.\d+\.\d+", parts[1])
        return parts[1] in self.names or bool(self.any_address and is_address)


def _password_in(authorization: str) -> bytes | None:
    """The password of an Authorization header; None if there is none."""
    kind, _, value = authorization.partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        return base64.b64decode(value, validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""


def is_loopback(host: str) -> bool:
    """Whether only this machine itself can reach `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
