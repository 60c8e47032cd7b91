"""`python -m fastcolor.bench` is `fastcolor bench`."""

import sys

from fastcolor.bench import main
from fastcolor.cli import run_command

sys.exit(run_command(main, prog="python -m fastcolor.bench"))
