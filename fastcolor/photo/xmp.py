"""XMP packets (ISO 16684-1): put together from a JPEG's parts, and marked as coloured by a machine.

A packet is changed as text, so that all else in it stays byte for byte.
"""

import hashlib
import re
import struct
from dataclasses import dataclass
from html import escape  # not of xml.sax: that imports urllib, and with it http and ssl
from xml.parsers import expat

MAIN, EXTENSION = b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
"""What a JPEG's APP1 segments begin with that hold XMP: ISO 16684-3, 7.3, and what does not fit into one segment."""
MOST_MAIN = 65502 - len(MAIN)  # bytes of XMP in a segment
_PART = 65400  # bytes of extended XMP in a segment

_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""What IPTC calls a picture of which a trained network has made a part."""
_PACKET = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">{}</rdf:RDF></x:xmpmeta>'
_PADDED = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>' + _PACKET + '<?xpacket end="w"?>'


@dataclass(frozen=True)
class Mark:
    """Who coloured a photo: IPTC Photo Metadata 2025.1, "AI System Used" and "AI System Version Used"."""

    system: str
    version: str


def marked(xmp: bytes | None, mark: Mark, notes: list[str]) -> bytes:
    """XMP, or none, with the mark beside what is there; what can't be read is left out, and noted."""
    text = None if xmp is None else _text(xmp)
    if text is None:
        if xmp is not None:
            notes.append("broken XMP left out")
        text = _PADDED.format("")
    prefix = (re.search(rf'xmlns:([\w.-]+)\s*=\s*["\']{re.escape(_IPTC)}', text) or ["", "Iptc4xmpExt"])[1]
    bare, types = _taken(text, f"{prefix}:DigitalSourceType")
    bare, systems = _taken(bare, f"{prefix}:AISystemUsed")
    bare, versions = _taken(bare, f"{prefix}:AISystemVersionUsed")
    if other := [each for each in types if each != SOURCE_TYPE]:
        notes.append(f"its digital source type was {other[0].rpartition('/')[2][:60]}")
    fields = {
        "DigitalSourceType": SOURCE_TYPE,
        "AISystemUsed": _with(systems, escape(mark.system, quote=False)),
        "AISystemVersionUsed": _with(versions, escape(mark.version, quote=False)),
    }
    if [types, systems, versions] == [[value] for value in fields.values()]:
        return text.encode()
    about = re.search(r'\babout\s*=\s*(["\'])(.*?)\1', text)
    inside = "".join(f"<{prefix}:{name}>{value}</{prefix}:{name}>" for name, value in fields.items())
    return _added(bare, f'xmlns:{prefix}="{_IPTC}"', inside, about[2] if about else "").encode()


def _with(values: list[str], value: str) -> str:
    """What was there, and the value, once."""
    before = [each for text in values for each in text.split("; ")]
    return "; ".join(dict.fromkeys([*before, value]))


def _added(text: str, namespace: str, inside: str, about: str) -> str:
    end = re.search(
        r"</(?:([\w.-]+):)?RDF\s*>(?!.*</(?:[\w.-]+:)?RDF\s*>)|<(?:([\w.-]+):)?RDF\b[^>]*/>", text, re.DOTALL
    )
    name = end[1] or end[2]
    rdf = f"{name}:" if name else ""
    new = f'<{rdf}Description {rdf}about="{about}" {namespace}>{inside}</{rdf}Description>'
    if end[0].startswith("</"):
        return text[: end.start()] + new + text[end.start() :]
    return text[: end.start()] + end[0][:-2] + f">{new}</{rdf}RDF>" + text[end.end() :]


def _taken(text: str, name: str) -> tuple[str, list[str]]:
    """The text without a property, as an attribute or an element, and its values, escaped as they stand."""
    values = []

    def take(found: re.Match) -> str:
        values.append(re.sub(r"<[^>]*>", " ", found["value"] or "").strip())
        return ""

    name = re.escape(name)
    for pattern in (rf'\s+{name}\s*=\s*(["\'])(?P<value>.*?)\1', rf"<{name}\b[^>/]*>(?P<value>.*?)</{name}\s*>"):
        text = re.sub(pattern, take, text, flags=re.DOTALL)
    return re.sub(rf"<{name}\b[^>]*/>", "", text), [value for value in values if value]


def _text(xmp: bytes) -> str | None:
    """A packet as text; None if it is not well-formed, or has no RDF."""
    xmp = xmp.strip(b"\0 \t\r\n")
    for encoding in ("utf-8", "utf-16"):  # UTF-16 begins with its mark, or is none
        try:
            text = xmp.decode(encoding)
            parser = expat.ParserCreate()
            parser.Parse(re.sub(r"^\s*<\?xml\b.*?\?>", "", text).encode(), True)
        except (UnicodeError, expat.ExpatError):
            continue
        return text if re.search(r"<(?:[\w.-]+:)?RDF\b", text) and "<!DOCTYPE" not in text else None
    return None


def joined(main: bytes | None, segments: list[bytes]) -> tuple[bytes | None, bool]:
    """The whole XMP of a JPEG with APP1 `segments`, and whether a part that it speaks of is missing."""
    wanted = re.search(rb'HasExtendedXMP\s*(?:=\s*["\']|>)\s*([0-9A-Fa-f]{32})', main or b"")
    if not wanted:
        return main, False
    parts, size = {}, 0
    for segment in segments:
        if segment.startswith(EXTENSION + wanted[1]) and len(segment) >= len(EXTENSION) + 40:
            size, start = struct.unpack_from(">LL", segment, len(EXTENSION) + 32)
            parts[start] = segment[len(EXTENSION) + 40 :]
    rest = b"".join(parts[start] for start in sorted(parts))
    main = re.sub(rb"\s+[\w.-]+:HasExtendedXMP\s*=\s*([\"']).*?\1|<([\w.-]+:HasExtendedXMP)\b.*?</\2\s*>", b"", main)
    text, more = _text(main), _text(rest)
    if not parts or len(rest) != size or text is None or more is None:
        return main, True
    descriptions = re.search(r"<(?:[\w.-]+:)?RDF\b[^>]*>(.*)</(?:[\w.-]+:)?RDF\s*>", more, re.DOTALL)
    names = " ".join(
        dict.fromkeys(
            re.findall(r'xmlns:[\w.-]+\s*=\s*(?:"[^"]*"|\'[^\']*\')', more.partition("RDF")[2].partition(">")[0])
        )
    )
    inside = descriptions[1] if descriptions else ""
    if names:  # declared above what is taken out
        inside = re.sub(r"<((?:[\w.-]+:)?Description)\b", rf"<\1 {names}", inside) if "xmlns:" not in inside else inside
    end = re.search(r"</(?:[\w.-]+:)?RDF\s*>", text)
    if end is None or _text(whole := (text[: end.start()] + inside + text[end.start() :]).encode()) is None:
        return main, True
    return whole, False


def parted(xmp: bytes) -> list[bytes]:
    """The APP1 segments of a JPEG that hold a packet of any size."""
    if len(xmp) <= MOST_MAIN:
        return [MAIN + xmp]
    xmp = re.sub(rb"<\?xpacket.*?\?>", b"", xmp, flags=re.DOTALL).strip()
    name = hashlib.md5(xmp, usedforsecurity=False).hexdigest().upper()
    note = (
        f'<rdf:Description rdf:about="" xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="{name}"/>'
    )
    head, starts = EXTENSION + name.encode(), range(0, len(xmp), _PART)
    parts = [head + struct.pack(">LL", len(xmp), start) + xmp[start : start + _PART] for start in starts]
    return [MAIN + _PADDED.format(note).encode(), *parts]
