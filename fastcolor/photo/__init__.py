"""One photo file to pixels and back, and folders of them.

- `read`: a file to upright sRGB pixels: `read_photo` (all pages, 8 or 16 bits), `open_photo` (an 8-bit image)
- `write`: pixels into a file, whole or not at all: `write_photo`, `save_photo`
- `formats`: the table of image formats; a new format is a new row
- `opening`: how a file that may be anything is opened, and what is refused
- `page`: what a photo is in memory
- `metadata`: EXIF, XMP, resolution, comment
- `icc`: ICC profiles to sRGB
- `deep`: 16 bits a channel
- `folders`: find the photos in a folder, convert them all
- `likeness`: near duplicates
"""
