"""One photo file to pixels and back, and folders of them.

- `read`: a file to upright sRGB pixels: `read_photo`, `read_pages` (8 or 16 bits), `open_photo` (an 8-bit image)
- `write`: pixels into a file, whole or not at all: `write_photo`, `save_photo`
- `formats`: the table of image formats; a new format is a new row
- `opening`: how a file that may be anything is opened, and what is refused
- `page`: what a photo is in memory
- `tiff_read`, `tiff_write`: TIFF's samples of all kinds; `tags`: its directories, and EXIF's
- `raw`: raw files of cameras, by rawpy
- `boxes`: what HEIC, AVIF, JPEG XL, JPEG 2000 and PNG say that their decoders leave out
- `deep`: PNG of 16 bits; `png_text`: its text; `jpeg_end`: JPEGs that lack their last bytes
- `metadata`: EXIF, XMP, IPTC, resolution, text; `xmp`: XMP's packets and the mark of a machine
- `icc`: ICC profiles, and Lab, to sRGB
- `tone`: whether a picture is in colour
- `folders`: find the photos in a folder, convert them all, here or at addresses; `fetched`: copy them here
- `likeness`: near duplicates
"""
