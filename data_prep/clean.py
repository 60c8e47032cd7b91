"""python -m data_prep.clean SRC DST: report what spoils a folder of photos in DST/clean.csv, or move it aside."""

import sys

from fastcolor.cli import run_command
from fastcolor.prep.clean import clean

if __name__ == "__main__":
    sys.exit(run_command(clean, prog="python -m data_prep.clean"))
