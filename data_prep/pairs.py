"""python -m data_prep.pairs SRC DST: cut A|B pictures into DST/A and DST/B, or join them."""

import sys

from fastcolor.cli import run_command
from fastcolor.prep.pairs import pairs

if __name__ == "__main__":
    sys.exit(run_command(pairs, prog="python -m data_prep.pairs"))
