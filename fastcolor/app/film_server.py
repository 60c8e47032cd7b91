"""What is answered to requests about films; see `server`, and `films` for what becomes of them.

A film is handed in as the plain body of `POST /films?name=...`. Whoever has its key may see it: no one guesses it.
"""

import re
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from fastcolor.app.bodies import gone, json_of, keys_of, on_disk, receive_file, size_of, text_of
from fastcolor.app.desk import MOST_BYTES as MOST_OF_PHOTO
from fastcolor.app.films import KEPT_SECONDS, MOST_BYTES, Film, FilmDesk
from fastcolor.app.handed import clean_name
from fastcolor.app.limits import address_of
from fastcolor.colorize.plan import renamed
from fastcolor.errors import UserError
from fastcolor.film.kinds import FILMS, check_packages

LONGEST = 3600  # seconds in which a film must be there: 2 GB at 4.5 Mbit/s


def films_offered() -> dict:
    """What the page offers for films; `missing` is the sentence that says what to install, or null."""
    try:
        check_packages()
        missing = None
    except UserError as error:
        missing = str(error)
    hours = KEPT_SECONDS // 3600
    return {"suffixes": FILMS, "most_bytes": MOST_BYTES, "kept_hours": hours, "missing": missing}


async def hand_in(request: Request) -> Response:
    """Take a film in: its name and how to colour it are in the query, the file is the body."""
    films, query, address = _films(request), request.query_params, address_of(request.client)
    name, size = query.get("name", ""), size_of(request)
    settings = await run_in_threadpool(request.app.state.desk.read_settings, dict(query))
    with films.receive(name, min(size, MOST_BYTES), address) as folder:
        await receive_file(request, folder / "upload", MOST_BYTES, "film", LONGEST)
        film = await run_in_threadpool(films.take, folder, name, settings, address)
    return JSONResponse(films.describe(film), 201)


def show_films(request: Request) -> Response:
    """How far the films with the keys in the query are; null for those that are not there any more."""
    films = _films(request)
    found = {id: films.find(id) for id in keys_of(request)}
    return JSONResponse({id: film and films.describe(film) for id, film in found.items()})


async def change(request: Request) -> Response:
    """Colour a film's stills by other settings."""
    films, film, given = _films(request), _film(request), await json_of(request)
    settings = await run_in_threadpool(request.app.state.desk.read_settings, given)
    with on_disk("film"):
        await run_in_threadpool(films.change, film, settings, given.get("deinterlace") is True)
    return JSONResponse(films.describe(film))


async def bring_colors(request: Request) -> Response:
    """Give a film the colours of the photo in the body."""
    films, film = _films(request), _film(request)
    name = clean_name(request.query_params.get("name", ""))
    photo = film.folder / "given"
    await receive_file(request, photo, MOST_OF_PHOTO)
    try:
        with on_disk("film"):
            await run_in_threadpool(films.make_like, film, photo, name)
    except UserError as error:
        raise UserError(str(error).replace(str(photo), name)) from None
    finally:
        photo.unlink(missing_ok=True)
    return JSONResponse(films.describe(film))


def drop_colors(request: Request) -> Response:
    """Give a film the network's own colours again."""
    films, film = _films(request), _film(request)
    with on_disk("film"):
        films.make_like(film, None)
    return JSONResponse(films.describe(film))


async def give_hints(request: Request) -> Response:
    """Give a film its points of colour, in the layout of `FILM.hints.json`."""
    films, film = _films(request), _film(request)
    text = await text_of(request)
    with on_disk("film"):
        await run_in_threadpool(films.hint, film, text)
    return JSONResponse(films.describe(film))


def start(request: Request) -> Response:
    """Order a film's colours."""
    films, film = _films(request), _film(request)
    films.start(film)
    return JSONResponse(films.describe(film), 202)


def stop(request: Request) -> Response:
    """Stop a film's work."""
    films, film = _films(request), _film(request)
    films.stop(film)
    return JSONResponse(films.describe(film))


def remove(request: Request) -> Response:
    """Forget a film."""
    _films(request).remove(_film(request).id)
    return Response(status_code=204)


def show_still(request: Request) -> Response:
    """One of a film's stills, `before` or `after`."""
    film, number, what = _film(request), request.path_params["number"], request.path_params["what"]
    if not re.fullmatch(r"\d{1,3}", number, re.ASCII) or what not in ("before", "after"):
        raise HTTPException(404, "There is no such picture.")
    return _file(film.picture(int(number), what == "after"), media_type="image/jpeg")


def watch(request: Request) -> Response:
    """A film to watch: before above after."""
    return _file(_film(request).pair, media_type="video/mp4")


def download(request: Request) -> Response:
    """The coloured film."""
    film = _film(request)
    return _file(film.result, filename=renamed(Path(film.name), None).name)


def _file(path: Path, **about) -> Response:
    if not path.is_file():
        raise HTTPException(404, "This is not made yet.")
    return FileResponse(path, **about)


def _films(request: Request) -> FilmDesk:
    return request.app.state.films


def _film(request: Request) -> Film:
    film = _films(request).find(request.path_params["id"])
    if film is None:
        raise gone("film")
    return film


film_routes = [
    Route("/films", show_films),
    Route("/films", hand_in, methods=["POST"]),
    Route("/films/{id}", change, methods=["POST"]),
    Route("/films/{id}", remove, methods=["DELETE"]),
    Route("/films/{id}/like", bring_colors, methods=["PUT"]),
    Route("/films/{id}/like", drop_colors, methods=["DELETE"]),
    Route("/films/{id}/hints", give_hints, methods=["PUT"]),
    Route("/films/{id}/start", start, methods=["POST"]),
    Route("/films/{id}/stop", stop, methods=["POST"]),
    Route("/films/{id}/watch", watch),
    Route("/films/{id}/download", download),
    Route("/films/{id}/stills/{number}/{what}", show_still),
]
