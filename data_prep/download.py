"""python -m data_prep.download NAME DST: download a public photo set, check and unpack it."""

import sys

from fastcolor.cli import run_command
from fastcolor.prep.download import download

if __name__ == "__main__":
    sys.exit(run_command(download, prog="python -m data_prep.download"))
