"""How good colours are on a folder of photos.

command.py  `fastcolor evaluate`: which photos, and the table, files and contact sheet of it
photos.py   one photo after the other: made grey, coloured by all that is compared, judged
shared.py   the same in many processes: on a Ray cluster, or in parts
judge.py    the figures of one coloured photo against the real one, and of many together
"""
