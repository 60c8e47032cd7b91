"""What slow and greedy clients may take: connections, the time until a request's head is there, the rate of a body."""

import asyncio
from collections.abc import AsyncIterator

import anyio
from starlette.requests import Request
from uvicorn.protocols.http.auto import AutoHTTPProtocol

MOST_CONNECTIONS = 64  # of one address at a time: a browser opens six, and a household may share an address
HEAD_SECONDS = 10  # from the first byte of a request, or from the connection, to the end of its headers
GRACE = 10  # seconds before a body must have its least rate
LEAST_RATE = 20_000  # bytes a second, on the average: the slowest phone network in use, EDGE, has as much
LONGEST = 600  # seconds of one body: 200 MB at 3 Mbit/s; after that the sender has most likely gone


class TimedProtocol(AutoHTTPProtocol):
    """uvicorn's HTTP protocol, which itself waits for the end of headers as long as the client likes."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """asyncio's interface."""
        super().connection_made(transport)
        self._deadline: asyncio.TimerHandle | None = None
        address = address_of(self.client)
        if sum(address_of(other.client) == address for other in self.connections) > MOST_CONNECTIONS:
            transport.close()
        else:
            self._expect_head()

    def data_received(self, data: bytes) -> None:
        """asyncio's interface."""
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._expect_head()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio's interface."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().call_later(HEAD_SECONDS, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def address_of(client: tuple[str, int] | None) -> str:
    """Whom a limit counts for. Of IPv6 the first 64 bits, which a household has for itself."""
    host = client[0] if client else ""
    return ":".join(host.split(":")[:4]) if host.count(":") > 3 else host


async def body_of(request: Request, longest: int = LONGEST) -> AsyncIterator[bytes]:
    """The pieces of a request's body. Raises TimeoutError if they come too slowly, or take `longest` seconds."""
    begun, size = anyio.current_time(), 0
    pieces = request.stream()
    while True:
        seconds = min(GRACE + size / LEAST_RATE, longest)
        with anyio.fail_after(begun + seconds - anyio.current_time()):
            piece = await anext(pieces, None)
        if piece is None:
            return
        size += len(piece)
        yield piece
