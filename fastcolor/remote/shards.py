"""Parts of a job: N processes, each started with another part of N, together do everything once."""

import re
from typing import NamedTuple
from zlib import crc32

from fastcolor.errors import UserError


class Shard(NamedTuple):
    """The part `number` (from 1) of `count` parts."""

    number: int
    count: int

    def holds(self, name: str) -> bool:
        """Whether a file, by its relative name, is in this part. It stays there when others come and go."""
        return crc32(name.encode(errors="surrogateescape")) % self.count == self.number - 1


def read_shard(text: str) -> Shard:
    """The value of `--shard`, K/N. Raises UserError unless K is from 1 to N."""
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise UserError(f"--shard must be K/N, with K from 1 to N, such as 3/16, not {text}")
    return Shard(int(found[1]), int(found[2]))
