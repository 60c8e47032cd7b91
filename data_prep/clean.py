"""python -m data_prep.clean SRC DST: list the photos to leave out in DST/clean.csv, or move them."""

import sys

from fastcolor.cli import run_command
from fastcolor.prep.clean import clean

if __name__ == "__main__":
    sys.exit(run_command(clean, prog="python -m data_prep.clean"))
