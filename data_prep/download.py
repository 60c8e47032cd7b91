"""python -m data_prep.download NAME DST: fetch, check and unpack a public photo set."""

import sys

from fastcolor.cli import run_command
from fastcolor.prep.download import download

if __name__ == "__main__":
    sys.exit(run_command(download, prog="python -m data_prep.download"))
