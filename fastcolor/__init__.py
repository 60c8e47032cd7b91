"""fastcolor teaches a network to colour greyscale photographs, and colours them."""

import os
import sys
import warnings

# fastai 2.8 calls torch.jit.script while it is imported, which torch 2.14 warns of: nothing that a user could change.
warnings.filterwarnings("ignore", message=".*torch.jit.script.* is deprecated", category=FutureWarning)

# Threads of torch wait for one another at every step. Those that wait for long should sleep: a core that they keep busy
# is missing where another program takes one. torch reads this when it is imported; see nbs/bench/README.md.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

__version__ = "0.2.0"
__all__ = ["Colorizer", "FilmHint", "FilmLike", "Hint", "predict"]


if sys.argv[:1] == ["-m"]:  # `python -m fastcolor.stage1_pretrain_gen`: what it imports takes seconds
    from fastcolor.cli import before_import

    before_import(sys.orig_argv[sys.orig_argv.index("-m") + 1], sys.argv[1:])


def __getattr__(name: str):
    if name in __all__:  # only now: `import fastcolor` need not wait for numpy and Pillow
        from fastcolor.colorize import colorizer

        return getattr(colorizer, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
