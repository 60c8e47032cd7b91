"""From a photo to a coloured photo: one way for the command, the page, Python and the tests.

colorizer.py  `Colorizer` and `predict`: one network, loaded once, and photos through it
options.py    which sizes and strengths can be asked for
tiles.py      networks that change a photo's light too (CycleGAN), at any size
folder.py     `fastcolor colorize`: what is written where, and many files at once
onnx.py       `fastcolor export`, and such files opened again
"""
