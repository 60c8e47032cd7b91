"""What is answered to which request. Names from a browser are looked up in lists, and never become a path here.

A photo is handed in as the plain body of `POST /photos?name=...`, so that it goes to disk piece by piece, and is cut
off when it becomes too large. Errors are answered as `{"sentence": ...}`.
"""

import asyncio
import json
import tempfile
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import cache
from io import BytesIO
from pathlib import Path

import anyio
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

import fastcolor
from fastcolor.app.desk import KEPT_SECONDS, MOST_BYTES, SIZES, Busy, Desk, Handed, download_name, unique
from fastcolor.app.guard import Guard
from fastcolor.errors import UserError
from fastcolor.runs.folder import RunFolder
from fastcolor.runs.listing import describe, pictures, run_folders, weights_found
from fastcolor.scenes.landscapes import draw_scene

PAGE = Path(__file__).parent / "page"
FILES = ("page.css", "page.js", "common.js", "photos.js", "training.js", "charts.js")  # beside index.html
EXAMPLES = (20, 30, 17, 27)  # seeds of drawn scenes that weights for photos give natural colours
EXAMPLE_SIDE = 512
LONGEST_UPLOAD = 600  # seconds: 200 MB at 3 Mbit/s; after that the sender has most likely gone
SWEEP_SECONDS = 20
PIECE = 1 << 20  # bytes of a zip file sent at a time


def build(runs: Path, host: str = "127.0.0.1") -> Starlette:
    """The page as an ASGI application that answers requests to `host`; photos are deleted when it ends."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        with tempfile.TemporaryDirectory(prefix="fastcolor-app-", ignore_cleanup_errors=True) as folder:
            app.state.desk = desk = Desk(Path(folder), runs)
            sweeping = asyncio.create_task(_sweep(desk))
            try:
                yield
            finally:
                sweeping.cancel()
                await run_in_threadpool(desk.close)

    routes = [
        Route("/", _file("index.html")),
        *(Route(f"/{name}", _file(name)) for name in FILES),
        Route("/setup", show_setup),
        Route("/examples/{number:int}", show_example),
        Route("/photos", show_photos),
        Route("/photos", hand_in, methods=["POST"]),
        Route("/photos/remove", remove_several, methods=["POST"]),
        Route("/photos/{id}", order, methods=["POST"]),
        Route("/photos/{id}", remove, methods=["DELETE"]),
        Route("/photos/{id}/{what}", show_picture),
        Route("/zip", download_all),
        Route("/runs", show_runs),
        Route("/runs/{name}", show_run),
        Route("/runs/{name}/{picture}", show_run_picture),
    ]
    return Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=[Middleware(Guard, host=host)],
        exception_handlers={HTTPException: _refused, UserError: _unusable, Busy: _busy},
    )


async def _sweep(desk: Desk) -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        await run_in_threadpool(desk.sweep)


def _refused(request: Request, error: HTTPException) -> Response:
    return JSONResponse({"sentence": error.detail}, error.status_code)


def _unusable(request: Request, error: UserError) -> Response:
    return JSONResponse({"sentence": str(error)}, 422)


def _busy(request: Request, error: Busy) -> Response:
    return JSONResponse({"sentence": str(error)}, 503, {"retry-after": "60"})


def _file(name: str) -> Callable[[Request], Response]:
    return lambda request: FileResponse(PAGE / name)


def show_setup(request: Request) -> Response:
    """What the page offers: weights, examples, limits."""
    weights = weights_found(_desk(request).runs).items()
    return JSONResponse(
        {
            "version": fastcolor.__version__,
            "weights": [{"name": name, "size": each.size, "keeps_light": each.keeps_light} for name, each in weights],
            "sizes": SIZES,
            "examples": [f"/examples/{number}" for number in range(len(EXAMPLES))],
            "most_bytes": MOST_BYTES,
            "kept_seconds": KEPT_SECONDS,
        }
    )


def show_example(request: Request) -> Response:
    """A drawn scene in grey."""
    number = request.path_params["number"]
    if number >= len(EXAMPLES):
        raise HTTPException(404, "There is no such example.")
    return Response(_example(EXAMPLES[number]), media_type="image/jpeg")


@cache
def _example(seed: int) -> bytes:
    file = BytesIO()
    draw_scene(seed, EXAMPLE_SIDE).convert("L").save(file, "JPEG", quality=92)
    return file.getvalue()


async def hand_in(request: Request) -> Response:
    """Take a photo in: its name and how to colour it are in the query, the file is the body."""
    desk, query = _desk(request), request.query_params
    name = query.get("name", "")
    settings = await run_in_threadpool(desk.read_settings, dict(query))
    if int(request.headers.get("content-length", 0)) > MOST_BYTES:
        raise _too_large()
    try:
        with desk.receive() as folder:
            with anyio.fail_after(LONGEST_UPLOAD):
                await _save(request, folder / "upload")
            photo = await run_in_threadpool(desk.take, folder, name, settings)
    except ClientDisconnect:
        return Response(status_code=400)  # nobody will read it
    except TimeoutError:
        raise HTTPException(408, f"The photo took longer than {LONGEST_UPLOAD // 60} minutes to arrive.") from None
    except OSError as error:
        raise HTTPException(507, f"There is no room for the photo on the server ({error.strerror}).") from None
    return JSONResponse(desk.describe(photo), 201)


async def _save(request: Request, path: Path) -> None:
    size = 0
    async with await anyio.open_file(path, "wb") as file:
        async for piece in request.stream():
            size += len(piece)
            if size > MOST_BYTES:
                raise _too_large()
            await file.write(piece)


def _too_large() -> HTTPException:
    return HTTPException(413, f"The file is larger than {MOST_BYTES // 1_000_000} MB: make the photo smaller first.")


def show_photos(request: Request) -> Response:
    """How far the photos with the keys in the query are; null for those that are not there any more."""
    desk = _desk(request)
    found = {id: desk.find(id) for id in _keys(request.query_params.get("ids", ""))}
    return JSONResponse({id: photo and desk.describe(photo) for id, photo in found.items()})


async def order(request: Request) -> Response:
    """Colour a photo by other settings, or, with `"beside": true`, write it beside its coloured version."""
    desk, photo = _desk(request), _photo(request)
    try:
        given = dict(json.loads(await _text(request)))
    except (ValueError, TypeError):
        raise HTTPException(400, "Settings must be a JSON object.") from None
    beside = given.get("beside") is True
    settings = photo.settings if beside else await run_in_threadpool(desk.read_settings, given)
    desk.order(photo, settings, beside)
    return JSONResponse(desk.describe(photo), 202)


def remove(request: Request) -> Response:
    """Forget a photo."""
    _desk(request).remove(_photo(request).id)
    return Response(status_code=204)


async def remove_several(request: Request) -> Response:
    """Forget the photos whose keys are the body: a page sends this when it is closed."""
    for id in _keys(await _text(request)):
        await run_in_threadpool(_desk(request).remove, id)
    return Response(status_code=204)


def show_picture(request: Request) -> Response:
    """A photo's pictures: before and after, reduced, to look at; result and beside, at full size, to download."""
    photo, what = _photo(request), request.path_params["what"]
    path = {"before": photo.before, "after": photo.after, "result": photo.result, "beside": photo.beside}.get(what)
    if path is None or not path.exists():
        raise HTTPException(404, "There is no such picture yet.")
    if what in ("before", "after"):
        return FileResponse(path, media_type="image/jpeg")
    return FileResponse(path, filename=download_name(photo, beside=what == "beside"))


def download_all(request: Request) -> Response:
    """The results of the photos with the keys in the query as a zip file, made while it is sent."""
    found = [_desk(request).find(id) for id in _keys(request.query_params.get("ids", ""))]
    done = [photo for photo in found if photo and photo.result]
    if not done:
        raise HTTPException(404, "None of these photos is there any more.")
    names = unique([download_name(photo) for photo in done])
    pieces = zipped([(name, photo.result) for name, photo in zip(names, done, strict=True)])
    disposition = {"content-disposition": 'attachment; filename="coloured.zip"'}
    return StreamingResponse(pieces, media_type="application/zip", headers=disposition)


def zipped(files: list[tuple[str, Path]]) -> Iterator[bytes]:
    """A zip file of files under other names, piece by piece; not compressed, as photos already are."""
    through = _Through()
    with zipfile.ZipFile(through, "w") as archive:
        for name, path in files:
            with archive.open(name, "w") as target, open(path, "rb") as source:
                while piece := source.read(PIECE):
                    target.write(piece)
                    yield through.taken()
    yield through.taken()


class _Through:
    """A file that can only be written; what was written is taken out again at once."""

    def __init__(self):
        self.pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        self.pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        pass

    def taken(self) -> bytes:
        whole = b"".join(self.pieces)
        self.pieces.clear()
        return whole


def show_runs(request: Request) -> Response:
    """The names of the runs, the one that was written to last first."""
    return JSONResponse({"folder": str(_desk(request).runs), "runs": list(run_folders(_desk(request).runs))})


def show_run(request: Request) -> Response:
    """A run's stages, history, and the names of its pictures."""
    return JSONResponse(describe(_run(request)))


def show_run_picture(request: Request) -> Response:
    """One of a run's sample grids or sheets."""
    path = pictures(_run(request)).get(request.path_params["picture"])
    if path is None:
        raise HTTPException(404, "There is no such picture.")
    return FileResponse(path, media_type="image/png")


async def _text(request: Request) -> str:
    """The body of a request that needs no long one: a hundred bytes of settings, or some thousands of keys."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > 100_000:
            raise HTTPException(413, "The request is too long.")
    return body.decode("utf-8", "replace")


def _desk(request: Request) -> Desk:
    return request.app.state.desk


def _photo(request: Request) -> Handed:
    photo = _desk(request).find(request.path_params["id"])
    if photo is None:
        raise HTTPException(404, "The photo is not there any more.")
    return photo


def _run(request: Request) -> RunFolder:
    folder = run_folders(_desk(request).runs).get(request.path_params["name"])
    if folder is None:
        raise HTTPException(404, "There is no such run.")
    return folder


def _keys(text: str) -> list[str]:
    return [key for key in text.split(",") if key]
