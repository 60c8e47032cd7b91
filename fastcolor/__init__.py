"""fastcolor teaches a network to colour greyscale photographs, and colours them."""

import warnings

# fastai 2.8 calls torch.jit.script while it is imported, which torch 2.14 warns of: nothing that a user could change.
warnings.filterwarnings("ignore", message=".*torch.jit.script.* is deprecated", category=FutureWarning)

__version__ = "0.2.0"
__all__ = ["Colorizer", "predict"]


def __getattr__(name: str):
    if name in __all__:  # only now: `import fastcolor` need not wait for torch
        from fastcolor.colorize import colorizer

        return getattr(colorizer, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
