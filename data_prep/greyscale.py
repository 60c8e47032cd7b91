"""python -m data_prep.greyscale SRC DST: make a grey copy of every photo of a folder."""

import sys

from fastcolor.cli import run_command
from fastcolor.prep.greyscale import greyscale

if __name__ == "__main__":
    sys.exit(run_command(greyscale, prog="python -m data_prep.greyscale"))
