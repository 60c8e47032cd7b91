"""python -m data_prep.sample DST: draw the sample set."""

import sys

from fastcolor.cli import run_command
from fastcolor.prep.sample import sample

if __name__ == "__main__":
    sys.exit(run_command(sample, prog="python -m data_prep.sample"))
