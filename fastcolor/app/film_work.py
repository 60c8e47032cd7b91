"""Work on a film in a process of its own: it can be ended at any moment, and a decoder that hangs takes nothing along.

    python -m fastcolor.app.film_work    # a line of JSON on stdin, see `LOOK` and `COLOR`; lines of JSON on stdout

Each line says how far it is (`stage`, `done`, `total`, `rate`), what was found or made, or the `sentence` that went
wrong. The process ends with the one that began it.
"""

import json
import os
import sys
import threading
from dataclasses import asdict
from pathlib import Path

import numpy as np

LOOK, COLOR = "look", "color"
"""What can be done with a `film`: stills and facts, into `folder`; or colours, into `target`, and `pair` to watch."""
STILLS = 6
COLOURING, SHOWING = "colouring", "showing"
"""The stages of COLOR: the film; and one to look at."""


def still(folder: Path, number: int) -> Path:
    """Where a still lies."""
    return folder / f"still-{number}.npy"


def main() -> None:
    """Do what stdin says."""
    order = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if hasattr(os, "nice"):
        os.nice(5)  # photos and the page come first
    from fastcolor.errors import UserError

    try:
        _look(order) if order["do"] == LOOK else _color(order)
    except UserError as error:
        _say(sentence=str(error))
    except MemoryError:
        _say(sentence=f"{order['film']}: needs more memory than there is: make it smaller first")
    except OSError as error:
        _say(sentence=f"{order['film']}: can't be written on the server ({error.strerror or error}): try again later")


def _look(order: dict) -> None:
    from fastcolor.film.watch import look_through

    looked = look_through(Path(order["film"]), STILLS)
    for number, pixels in enumerate(looked.stills):
        np.save(still(Path(order["folder"]), number), pixels)
    looked.stills = []
    about = asdict(looked)
    del about["stills"]
    _say(about=about)


def _color(order: dict) -> None:
    from fastcolor.colorize.colorizer import Colorizer
    from fastcolor.colorize.hints import FilmHint, read_hints
    from fastcolor.film.watch import write_pair

    colorizer = Colorizer(order["weights"], size=order["size"], strength=order["strength"])
    film, target = Path(order["film"]), Path(order["target"])
    more = {"deinterlace": order["deinterlace"], "like": order["like"]}
    more["hints"] = read_hints(order["hints"], FilmHint) if order["hints"] else ()
    made = colorizer.film(film, target, **more, tell=_teller(COLOURING))
    _say(made=made.notes)
    write_pair(film, target, Path(order["pair"]), _teller(SHOWING))


def _teller(stage: str):
    return lambda done, total, rate: _say(stage=stage, done=done, total=total, rate=rate)


def _say(**what) -> None:
    print(json.dumps(what), flush=True)


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
