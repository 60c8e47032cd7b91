"""How good colours are on a folder of photos.

command.py  `fastcolor evaluate`: which photos, coloured by what, and the table, files and contact sheet of it
judge.py    the figures of one coloured photo against the real one, and of many together
"""
