"""What comes with a request: files, text, JSON; and what is answered where that goes wrong."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from fastcolor.app.limits import LONGEST, body_of


async def receive_file(request: Request, path: Path, most: int, what: str = "photo", longest: int = LONGEST) -> None:
    """Write the body of a request into a file. Raises HTTPException if it has more than `most` bytes, or is too slow.

    `what` it is to be, for sentences. It may take `longest` seconds.
    """
    too_large = f"The file is larger than {most // 1_000_000} MB: make the {what} smaller first."
    if size_of(request) > most:
        raise HTTPException(413, too_large)
    size = 0
    try:
        with on_disk(what):
            async with await anyio.open_file(path, "wb") as file:
                async for piece in body_of(request, longest):
                    size += len(piece)
                    if size > most:
                        raise HTTPException(413, too_large)
                    await file.write(piece)
    except ClientDisconnect:
        raise HTTPException(400, f"The {what} did not arrive.") from None  # nobody will read it


def size_of(request: Request) -> int:
    """How many bytes a request's body has, as it says itself; 0 where it does not."""
    return int(request.headers.get("content-length", 0))


async def text_of(request: Request) -> str:
    """The body of a request that needs no long one: a hundred bytes of settings, or some thousands of keys."""
    body = b""
    try:
        async for piece in body_of(request):
            body += piece
            if len(body) > 100_000:
                raise HTTPException(413, "The request is too long.")
    except TimeoutError:
        raise HTTPException(408, "The request came too slowly.") from None
    return body.decode("utf-8", "replace")


async def json_of(request: Request) -> dict:
    """The body of a request that is a JSON object."""
    try:
        given = json.loads(await text_of(request))
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise HTTPException(422, "The request must be a JSON object.")
    return given


def keys_of(request: Request) -> list[str]:
    """The keys in the query."""
    return keys_in(request.query_params.get("ids", ""))


def keys_in(text: str) -> list[str]:
    """Keys with commas between them."""
    return [key for key in text.split(",") if key]


@contextmanager
def on_disk(what: str = "photo") -> Iterator[None]:
    """What goes wrong with files in the block, or with the body that is to become one, is answered as what it is."""
    try:
        yield
    except FileNotFoundError:  # its folder
        raise gone(what) from None
    except TimeoutError:  # an OSError, too
        raise HTTPException(408, f"The {what} came too slowly: try again with a better connection.") from None
    except OSError as error:
        raise HTTPException(507, f"There is no room for the {what} on the server ({error.strerror}).") from None


def gone(what: str = "photo") -> HTTPException:
    """What to raise for what was removed."""
    return HTTPException(404, f"The {what} is not there any more.")
