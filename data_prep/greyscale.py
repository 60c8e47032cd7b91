"""python -m data_prep.greyscale SRC DST: the grey mirror of a folder of photos."""

import sys

from fastcolor.cli import run_command
from fastcolor.prep.greyscale import greyscale

if __name__ == "__main__":
    sys.exit(run_command(greyscale, prog="python -m data_prep.greyscale"))
