"""Side-by-side pictures (A|B, as pix2pix's data sets have them) cut into two mirror folders, and joined again."""

from pathlib import Path

from PIL import Image

from fastcolor.errors import UnreadablePhoto
from fastcolor.photo.folders import Summary, convert_folder, find_photos
from fastcolor.photo.read import halves, open_photo
from fastcolor.photo.write import save_photo


def pairs(
    src: Path,  # folder of A|B pictures, any tree; with --join, a folder that holds the folders A and B
    dst: Path,  # folder for the folders A and B; with --join, for the A|B pictures
    join: bool = False,  # join instead of cutting
    strict: bool = False,  # exit code 2 if any picture is unreadable or has no partner
):
    """Cut A|B pictures into the mirror folders DST/A and DST/B: same tree, same names; --join joins them again."""
    print(join_pairs(src, dst, strict) if join else cut_pairs(src, dst, strict))


def cut_pairs(src: Path, dst: Path, strict: bool = False) -> Summary:
    """Write the left half of every picture below `src` into `dst/A`, the right half into `dst/B`.

    Pictures of odd width are listed like unreadable ones, see `convert_folder`.
    """

    def convert(picture: Path, left: Path) -> None:
        a, b = halves(picture)
        # A comes last: only its presence is looked at when a run that was cut short starts again.
        save_photo(b, dst / "B" / left.relative_to(dst / "A"))
        save_photo(a, left)

    return convert_folder(src, dst / "A", convert, strict=strict)


def join_pairs(src: Path, dst: Path, strict: bool = False) -> Summary:
    """Write every pair of equally named and sized pictures in `src/A` and `src/B` as one A|B picture below `dst`.

    Missing partners and unequal sizes are listed like unreadable pictures, see `convert_folder`.
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
        if a.size != b.size:  # heights must agree to join at all, widths so that the middle parts A from B
            raise UnreadablePhoto(left, f"A has {a.width} x {a.height} pixels, B has {b.width} x {b.height}")
        both = Image.new("RGB", (2 * a.width, a.height))
        both.paste(a, (0, 0))
        both.paste(b, (a.width, 0))
        save_photo(both, joined)

    return convert_folder(src / "A", dst, convert, strict=strict, photos=names)
