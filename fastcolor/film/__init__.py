"""Films: coloured without flicker, with their sound. What colours is handed in, so this room needs no network.

kinds.py     containers and codecs, and what counts as a film
make.py      from a film's file to a coloured film
frames.py    frames on their way through the network, in threads
follow.py    colours that follow the motion: few frames are seen by the network
back.py      from the moment of a hint to the start of its scene
motion.py    how things move between frames, and where cuts are
light.py     luma and chroma, given colours at constant lightness
read.py      frames of a film file, with their times
write.py     encoding, and the film with sound and all else
pieces.py    what is finished, for a run that is stopped
pictures.py  folders of numbered frames, and pictures that move
watch.py     a film to look at in a browser: some frames, before and after
progress.py  frames/s and the time left
"""
