"""Films: coloured without flicker, with their sound.

    motion.py    how things move between frames, and where cuts are
    follow.py    colours that follow the motion
    light.py     luma and chroma, given colours at constant lightness
"""
