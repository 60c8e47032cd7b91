"""Preparation of photo folders: folder in, folder out; each module is a command, and a script in `data_prep`.

sample       draws the sample set
download     downloads public photo sets, checks and unpacks them
clean        lists the photos that no colours can be learnt from
crop         cuts the square middle out of every photo
greyscale    makes the grey mirror of a folder
pairs        cuts A|B pictures into two folders, or joins these again
"""
