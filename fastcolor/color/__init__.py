"""What colour is: for whole photos with numpy, for training with tensors.

    cie.py       sRGB and CIE Lab: every constant, and what colouring photos needs, with numpy
    fullsize.py  a photo at its full size: reduced for the network, and given its colours
    lab.py       the same for tensors, and the fit into sRGB
    spaces.py    how networks see a photo: their input and output
    grey.py      a photo as grey of the same lightness
    aging.py     modern photos made to look like old prints
    classes.py   colours as classes, the cells of a grid in ab
    metrics.py   how good colours are: PSNR, CIEDE2000, colourfulness; where skin is
"""
