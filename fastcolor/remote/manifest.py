"""What the results in a folder were made with: a row for each photo, in Parquet files that many processes add to.

    OUT/.fastcolor/job-1a2b3c.json         weights and options, and a fingerprint of them: one job for each folder
    OUT/.fastcolor/manifest/NAME.parquet   rows, as in `--report`; each process writes files of its own, each whole

A result counts as made when it is there *and* a row has it with the job's fingerprint and its photo's version. Whoever
is killed between the two makes it again, to the same bytes.
"""

import hashlib
import io
import json
import time
from collections.abc import Iterable
from uuid import uuid4

from fastcolor.errors import UserError
from fastcolor.files import in_order
from fastcolor.remote.store import Entry, Store, Unreachable

FOLDER = ".fastcolor"
ROWS, SECONDS = 1000, 30
"""A process writes its rows when there are so many, or the first has waited so long: a killed one loses no more."""
COLUMNS = {
    "output": "string",  # name below the folder of results
    "input": "string",
    "state": "string",  # coloured, failed, left out
    "pages": "int32",
    "width": "int32",
    "height": "int32",
    "seconds": "float64",
    "notes": "string",
    "reason": "string",
    "retried": "int32",  # how often its process died, or its connection failed
    "made": "string",  # fingerprint of weights and options
    "source": "string",  # size and version of the photo
    "time": "float64",  # when the row was made, in seconds since 1970
}


class Manifest:
    """The rows of a folder of results.

    `settings` are the job's. `begin` reads what is there, `known` then has the last row of each result (by its name
    `as_text`), as far as it is needed: state, reason, fingerprint, source.
    """

    def __init__(self, store: Store, settings: dict):
        self.store, self.settings, self.known = store, settings, {}
        self.files: dict[str, Entry] = {}
        self._rows, self._since = [], 0.0
        pyarrow()

    def begin(self, names: Iterable[str], replace: bool, writes: bool = True) -> None:
        """Look at what is there, and note whose folder it is; `names` are the results to come. With `replace`, another
        job's results may be there; without `writes`, nothing is noted.

        Raises UserError if the folder has another job's results, or some of which nothing is known.
        """
        try:
            self.files = self.store.listing()
        except Unreachable as error:
            if not error.is_missing:
                raise
        mine = f"{FOLDER}/job-{fingerprint(self.settings)}.json"
        jobs = [name for name in self.files if name.startswith(f"{FOLDER}/job-")]
        if not replace and (others := [name for name in jobs if name != mine]):
            raise UserError(f"{self.store.name} holds results of another job ({self._difference(others[0])}): {AGAIN}")
        if not replace and not jobs and (there := next((name for name in names if name in self.files), None)):
            raise UserError(f"{self.store.name} holds {there}, and no manifest that says how it was made: {AGAIN}")
        for name in jobs if writes else ():
            if name != mine:
                self.store.delete(self.files[name])
        if mine not in jobs and writes:
            self.store.write(json.dumps(self.settings, indent=1).encode(), mine)
        parts = [name for name in self.files if name.startswith(f"{FOLDER}/manifest/") and name.endswith(".parquet")]
        latest: dict[str, float] = {}
        for table in in_order(lambda name: self._read(self.files[name]), parts, ahead=16, workers=16):
            columns = (table[name].to_pylist() for name in ("time", "output", "state", "reason", "made", "source"))
            for when, output, *row in zip(*columns, strict=True):
                if when >= latest.get(output, 0):
                    latest[output], self.known[output] = when, tuple(row)

    def add(self, row: dict) -> None:
        """Remember what became of a photo: the columns by name, those that are missing stay empty."""
        self._since = self._since or time.monotonic()
        self._rows.append({name: as_text(row.get(name)) for name in COLUMNS})
        if len(self._rows) >= ROWS or time.monotonic() - self._since > SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write the rows that are not written yet. Raises UserError."""
        if not self._rows:
            return
        pa, parquet = pyarrow()
        schema = pa.schema([(name, kind) for name, kind in COLUMNS.items()])
        content = io.BytesIO()
        parquet.write_table(pa.Table.from_pylist(self._rows, schema), content, compression="zstd")
        self.store.write(content.getvalue(), f"{FOLDER}/manifest/{uuid4().hex}.parquet")
        self._rows, self._since = [], 0.0

    def _read(self, entry: Entry) -> "pyarrow.Table":
        pa, parquet = pyarrow()
        try:
            table = parquet.read_table(io.BytesIO(self.store.read(entry)))
            return table.select(list(COLUMNS))
        except (pa.ArrowException, KeyError) as error:
            raise UserError(f"{entry.place} is no manifest of fastcolor: delete it ({type(error).__name__})") from None

    def _difference(self, job: str) -> str:
        """What another job's settings say that these don't."""
        try:
            theirs = json.loads(self.store.read(self.files[job]))
            names = [name for name in self.settings if theirs.get(name) != self.settings[name]]
            return ", ".join(f"{name} {theirs.get(name)}, not {self.settings[name]}" for name in names)[:200]
        except (ValueError, AttributeError, TypeError):
            return "its settings can't be read"


AGAIN = "give another folder, or --overwrite to make them again"


def as_text(value):
    """What a column has of a value: of a name that is not UTF-8, its other bytes as \\xff."""
    return value.encode(errors="surrogateescape").decode(errors="backslashreplace") if isinstance(value, str) else value


def fingerprint(settings: dict) -> str:
    """A short name of weights and options."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


def pyarrow():
    """pyarrow, and its module for Parquet. Raises UserError where it is missing."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError:
        what = "this writes a manifest, which needs pyarrow, and that is not installed"
        raise UserError(f"{what}: run `pip install 'fastcolor[remote]'`") from None
    return pyarrow, parquet
