"""Cuts A|B pictures (side by side, as in pix2pix's data sets) into two mirror folders, or joins these again."""

from pathlib import Path

from PIL import Image

from fastcolor.errors import UnreadablePhoto
from fastcolor.photo.folders import Summary, convert_folder, find_photos
from fastcolor.photo.read import halves, open_photo
from fastcolor.photo.write import save_photo


def pairs(
    src: Path,  # folder of A|B pictures, with all folders below it; with --join: folder with the folders A and B
    dst: Path,  # folder for the folders A and B; with --join: for the A|B pictures
    join: bool = False,  # join A and B instead of cutting
    strict: bool = False,  # end with exit code 2 if a picture can't be read or has no partner
):
    """Cut A|B pictures into the folders DST/A and DST/B, or join them.

    Both folders have the same tree and the same names.
    """
    print(join_pairs(src, dst, strict) if join else cut_pairs(src, dst, strict))


def cut_pairs(src: Path, dst: Path, strict: bool = False) -> Summary:
    """Write the left half of every picture below `src` into `dst/A`, the right half into `dst/B`.

    Pictures of odd width are listed with the unreadable ones, see `convert_folder`.
    """

    def convert(picture: Path, left: Path) -> None:
        a, b = halves(picture)
        # A comes last: where it is, a later run takes both for done.
        save_photo(b, dst / "B" / left.relative_to(dst / "A"))
        save_photo(a, left)

    return convert_folder(src, dst / "A", convert, strict=strict)


def join_pairs(src: Path, dst: Path, strict: bool = False) -> Summary:
    """Join the pictures of the same name in `src/A` and `src/B`, of the same size, to A|B pictures below `dst`.

    Pictures without a partner, or of another size, are listed with the unreadable ones, see `convert_folder`.
    """
    names = sorted({*find_photos(src / "A"), *find_photos(src / "B")})

    def convert(left: Path, joined: Path) -> None:
        right = src / "B" / left.relative_to(src / "A")
        for here, partner in ((left, right), (right, left)):
            if not partner.exists():
                raise UnreadablePhoto(left, f"{here.relative_to(src)} has no partner {partner.relative_to(src)}")
        a = open_photo(left)
        try:
            b = open_photo(right)
        except UnreadablePhoto as error:
            raise UnreadablePhoto(left, f"its partner {right.relative_to(src)} {error.reason}") from None
        if a.size != b.size:  # A and B must meet in the middle, where they are cut again
            raise UnreadablePhoto(left, f"A has {a.width} x {a.height} pixels, B has {b.width} x {b.height}")
        both = Image.new("RGB", (2 * a.width, a.height))
        both.paste(a, (0, 0))
        both.paste(b, (a.width, 0))
        save_photo(both, joined)

    return convert_folder(src / "A", dst, convert, strict=strict, photos=names)
