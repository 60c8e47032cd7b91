"""`python -m fastcolor` is the same program as `fastcolor`."""

import sys

from fastcolor.cli import main

sys.exit(main())
