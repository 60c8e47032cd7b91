"""python -m data_prep.crop SRC DST: the square middle of every photo, at one size."""

import sys

from fastcolor.cli import run_command
from fastcolor.prep.crop import crop

if __name__ == "__main__":
    sys.exit(run_command(crop, prog="python -m data_prep.crop"))
