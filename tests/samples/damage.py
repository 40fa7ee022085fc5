"""Files as accidents leave them: flipped bits, other bytes, holes, cuts, other digits."""

from __future__ import annotations

import random
from collections.abc import Iterator


def damaged(content: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """Give `count` damaged copies, in six ways by turns."""
    drawn = random.Random(seed)
    digits = [k for k, byte in enumerate(content) if 48 <= byte < 58]
    for number in range(count):
        copy = bytearray(content)
        place = drawn.randrange(len(copy))
        way = number % 6
        if way == 0:
            copy[place] ^= 1 << drawn.randrange(8)
        elif way == 1:
            copy[place] = drawn.randrange(256)
        elif way == 2:
            del copy[place:]
        elif way == 3:
            del copy[place : place + drawn.randrange(1, 50)]
        elif way == 4:
            copy[place : place + 20] = drawn.randbytes(20)
        else:
            copy[drawn.choice(digits)] = 48 + drawn.randrange(10)
        yield bytes(copy)
