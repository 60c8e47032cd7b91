"""python -m data_prep.crop SRC DST: cut the square middle out of every photo and resize it."""

import sys

from fastcolor.cli import run_command
from fastcolor.prep.crop import crop

if __name__ == "__main__":
    sys.exit(run_command(crop, prog="python -m data_prep.crop"))
