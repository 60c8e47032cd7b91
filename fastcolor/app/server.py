"""What is answered to which request. Names from a browser are looked up in lists, and never become a path here.

A photo is handed in as the plain body of `POST /photos?name=...`, so that it goes to disk piece by piece, and is cut
off when it becomes too large, or comes too slowly. Errors are answered as `{"sentence": ...}`.
"""

import asyncio
import math
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import cache
from io import BytesIO
from pathlib import Path

from filelock import FileLock, Timeout
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

import fastcolor
from fastcolor.app import own
from fastcolor.app.bodies import gone, json_of, keys_in, keys_of, on_disk, receive_file, text_of
from fastcolor.app.desk import KEPT_SECONDS, MOST_BYTES, SIZES, Busy, Desk
from fastcolor.app.film_server import film_routes, films_offered
from fastcolor.app.films import FilmDesk
from fastcolor.app.guard import Guard
from fastcolor.app.handed import BESIDE, RESULT, Handed, clean_name, download_name, unique
from fastcolor.app.limits import address_of
from fastcolor.app.looks import SIDES, Box
from fastcolor.app.zipping import zipped
from fastcolor.colorize.hints import RADIUS
from fastcolor.errors import UserError
from fastcolor.photo.formats import FORMATS
from fastcolor.runs.folder import RunFolder
from fastcolor.runs.listing import describe, pictures, run_folders, weights_found
from fastcolor.scenes.landscapes import draw_scene

PAGE = Path(__file__).parent / "page"
FILES = [path.name for path in PAGE.iterdir() if path.suffix in (".css", ".js")]  # beside index.html
EXAMPLES = {"1": 20, "2": 30, "3": 17, "4": 27}  # seeds of drawn scenes that weights for photos give natural colours
EXAMPLE_SIDE = 512
SWEEP_SECONDS = 20
PREFIX, LOCK = "fastcolor-app-", ".lock"  # of the folder for all that is handed in; its server holds the lock


def build(runs: Path, host: str = "127.0.0.1", password: str | None = None) -> Starlette:
    """The page as an ASGI application that answers requests to `host`; photos are deleted when it ends."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await run_in_threadpool(clear_left)
        with (
            tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as folder,
            FileLock(Path(folder) / LOCK),
        ):
            places = [Path(folder) / name for name in ("photos", "films")]
            for place in places:
                place.mkdir()
            app.state.desk = desk = Desk(places[0], runs)
            app.state.films = films = FilmDesk(places[1], desk)
            sweeping = asyncio.create_task(_sweep(desk, films))
            try:
                yield
            finally:
                sweeping.cancel()
                await run_in_threadpool(films.close)
                await run_in_threadpool(desk.close)

    routes = [
        Route("/", _file("index.html")),
        *(Route(f"/{name}", _file(name)) for name in FILES),
        Route("/setup", show_setup),
        Route("/examples/{number}", show_example),
        Route("/photos", show_photos),
        Route("/photos", hand_in, methods=["POST"]),
        Route("/photos/leave", leave, methods=["POST"]),
        Route("/photos/{id}", order, methods=["POST"]),
        Route("/photos/{id}", remove, methods=["DELETE"]),
        Route("/photos/{id}/hints", give_hints, methods=["PUT"]),
        Route("/photos/{id}/like", bring_colors, methods=["PUT"]),
        Route("/photos/{id}/suggestions", suggest),
        Route("/field/{lightness}", show_field),
        Route("/photos/{id}/{what}", show_picture),
        Route("/photos/{id}/{what}/download", download),
        Route("/zip", download_all),
        *film_routes,
        Route("/runs", show_runs),
        Route("/runs/{name}", show_run),
        Route("/runs/{name}/{picture}", show_run_picture),
    ]
    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=[Middleware(Guard, host=host, password=password)],
        exception_handlers={HTTPException: _refused, UserError: _unusable, Busy: _busy},
    )
    app.router.redirect_slashes = False  # one address for each thing
    return app


def clear_left() -> None:
    """Delete what servers have left that were killed: films take gigabytes."""
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError, Timeout):
            is_ours = not hasattr(os, "getuid") or left.lstat().st_uid == os.getuid()
            if is_ours and (left / LOCK).is_file():
                with FileLock(left / LOCK, timeout=0):  # nobody else holds it
                    shutil.rmtree(left, ignore_errors=True)


async def _sweep(*desks: Desk | FilmDesk) -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        for desk in desks:
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
            "examples": [f"/examples/{number}" for number in EXAMPLES],
            "formats": {format.name: format.suffixes for format in FORMATS if format.codec is None or format.codec()},
            "films": films_offered(),
            "most_bytes": MOST_BYTES,
            "kept_seconds": KEPT_SECONDS,
            "reach": RADIUS,
        }
    )


def show_example(request: Request) -> Response:
    """A drawn scene in grey."""
    seed = EXAMPLES.get(request.path_params["number"])
    if seed is None:
        raise HTTPException(404, "There is no such example.")
    return Response(_example(seed), media_type="image/jpeg")


@cache
def _example(seed: int) -> bytes:
    file = BytesIO()
    draw_scene(seed, EXAMPLE_SIDE).convert("L").save(file, "JPEG", quality=92)
    return file.getvalue()


async def hand_in(request: Request) -> Response:
    """Take a photo in: its name and how to colour it are in the query, the file is the body."""
    desk, query, address = _desk(request), request.query_params, address_of(request.client)
    name = query.get("name", "")
    settings = await run_in_threadpool(desk.read_settings, dict(query))
    with desk.receive(address) as folder:
        await receive_file(request, folder / "upload", MOST_BYTES)
        photo = await run_in_threadpool(desk.take, folder, name, settings, address)
    return JSONResponse(desk.describe(photo), 201)


def show_photos(request: Request) -> Response:
    """How far the photos with the keys in the query are; null for those that are not there any more."""
    desk = _desk(request)
    found = {id: desk.find(id) for id in keys_of(request)}
    return JSONResponse({id: photo and desk.describe(photo) for id, photo in found.items()})


async def order(request: Request) -> Response:
    """Colour a photo by other settings, or make what is to be downloaded: `{"make": "result"}`, or "beside"."""
    desk, photo, given = _desk(request), _photo(request), await json_of(request)
    if (what := given.get("make")) is None:
        desk.change(photo, await run_in_threadpool(desk.read_settings, given))
    elif what in (RESULT, BESIDE):
        desk.order(photo, photo.settings, what)
    else:
        raise HTTPException(422, f'"make" must be "{RESULT}" or "{BESIDE}".')
    return JSONResponse(desk.describe(photo), 202)


def remove(request: Request) -> Response:
    """Forget a photo."""
    _desk(request).remove(_photo(request).id)
    return Response(status_code=204)


async def leave(request: Request) -> Response:
    """The page that has the photos whose keys are the body is closed, or loaded again: then it soon asks for them."""
    for id in keys_in(await text_of(request)):
        _desk(request).leave(id)
    return Response(status_code=204)


async def give_hints(request: Request) -> Response:
    """Give a photo its points of colour, in the layout of `PHOTO.hints.json`; answers when its colours can be seen."""
    desk, photo = _desk(request), _photo(request)
    text = await text_of(request)
    with on_disk():
        hints = await run_in_threadpool(desk.hint, photo, text)
    return JSONResponse({**desk.describe(photo), "hints": hints})


async def bring_colors(request: Request) -> Response:
    """The colours of the photo in the body, as points for a photo that shows something alike."""
    desk, photo = _desk(request), _photo(request)
    with desk.receive(address_of(request.client)) as folder:
        reference = folder / clean_name(request.query_params.get("name", ""))
        await receive_file(request, reference, MOST_BYTES)
        try:
            with on_disk():
                hints = await run_in_threadpool(desk.like, photo, reference)
        except UserError as error:
            raise UserError(str(error).replace(str(reference), reference.name)) from None
    return JSONResponse({"hints": [vars(hint) for hint in hints]})


def suggest(request: Request) -> Response:
    """The likeliest colours of a place of a photo, `x` and `y` as shares of its width and height."""
    try:
        x, y = (float(request.query_params.get(name, "nan")) for name in ("x", "y"))
    except ValueError:
        x = y = math.nan
    return JSONResponse(_desk(request).suggest(_photo(request), x, y))


def show_field(request: Request) -> Response:
    """All colours of one lightness, 0 to 100; see `own.field`."""
    lightness = request.path_params["lightness"]
    if not re.fullmatch(r"\d{1,3}", lightness, re.ASCII) or int(lightness) > 100:
        raise HTTPException(404, "There is no such lightness.")
    return Response(own.field(int(lightness)).picture, media_type="image/png")


def show_picture(request: Request) -> Response:
    """A photo before or after, to look at: all of it or a `box` of its pixels, at most `side` pixels wide or high."""
    photo, what, query = _photo(request), request.path_params["what"], request.query_params
    if what not in ("before", "after"):
        raise HTTPException(404, "There is no such picture.")
    box, (side,) = _numbers(query.get("box", ""), (0, 4)), _numbers(query.get("side", str(SIDES[1])), (1,))
    with on_disk():
        picture = _desk(request).picture(photo, what == "after", _box(box, photo), min(max(side, SIDES[0]), SIDES[1]))
    return Response(picture, media_type="image/jpeg")


def _numbers(text: str, counts: tuple[int, ...]) -> list[int]:
    parts = text.split(",") if text else []
    if len(parts) not in counts or not all(re.fullmatch(r"\d{1,9}", part, re.ASCII) for part in parts):
        raise HTTPException(422, "A part of a picture is asked for as box=left,top,right,bottom in pixels.")
    return [int(part) for part in parts]


def _box(numbers: list[int], photo: Handed) -> Box | None:
    """A part of a photo that has pixels; None for all of it."""
    if not numbers or photo.shape is None:
        return None
    box, (width, height) = Box(*numbers), photo.shape
    if not (box.left < box.right <= width and box.top < box.bottom <= height):
        raise HTTPException(422, "This part lies outside the photo.")
    return box


def download(request: Request) -> Response:
    """What was made of a photo, at full size: its result, or that beside the photo as it was; or its points."""
    photo, what = _photo(request), request.path_params["what"]
    if what == "hints" and own.kept(photo).exists():
        return FileResponse(own.kept(photo), filename=own.name(photo))
    if not (path := photo.ready(what)):
        raise HTTPException(404, "This is not made yet.")
    return FileResponse(path, filename=download_name(photo, what))


def download_all(request: Request) -> Response:
    """The results of the photos with the keys in the query as a zip file, made while it is sent.

    All of them must have been made by the settings of now: old and new colours are never mixed.
    """
    found = [_desk(request).find(id) for id in keys_of(request)]
    photos = [photo for photo in found if photo]
    if not photos:
        raise HTTPException(404, "None of these photos is there any more.")
    made = [photo.ready(RESULT) for photo in photos]
    if None in made:
        raise HTTPException(409, f"{made.count(None)} of these photos are not made yet.")
    hinted = [photo for photo in photos if photo.settings.hints]
    names = unique([*map(download_name, photos), *map(own.name, hinted)])
    pieces = zipped(list(zip(names, [*made, *map(own.kept, hinted)], strict=True)))
    disposition = {"content-disposition": 'attachment; filename="coloured.zip"'}
    return StreamingResponse(pieces, media_type="application/zip", headers=disposition)


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


def _desk(request: Request) -> Desk:
    return request.app.state.desk


def _photo(request: Request) -> Handed:
    photo = _desk(request).find(request.path_params["id"])
    if photo is None:
        raise gone()
    return photo


def _run(request: Request) -> RunFolder:
    folder = run_folders(_desk(request).runs).get(request.path_params["name"])
    if folder is None:
        raise HTTPException(404, "There is no such run.")
    return folder
