"""Tint: the colour of a person, the same on every screen, since it comes from the user id.

Owns: the hue. Does not own: who it is shown to (presence). Pure.
Source: static/src/identity/names.ts, which gives the same colour to a face as Excalidraw gives a cursor.
"""

from functools import lru_cache
from math import floor

HUES = 37
SATURATION = 1.0
LIGHTNESS = 0.83


@lru_cache(maxsize=4096)
def tint(user_id: str) -> str:
    """`#rrggbb`: one of 37 hues, full saturation, 83 % lightness."""
    number = 0
    for unit in _utf16(user_id):
        # JavaScript shifts 32 bits and adds without a limit
        shifted = (number << 5) & 0xFFFFFFFF
        if shifted >= 0x80000000:
            shifted -= 0x100000000
        number = shifted - number + unit
    hue = abs(number) % HUES * 10
    return "#" + "".join(f"{_channel(hue, offset):02x}" for offset in (0, 8, 4))


def _utf16(text: str) -> list[int]:
    raw = text.encode("utf-16-le", "surrogatepass")
    return [raw[at] | raw[at + 1] << 8 for at in range(0, len(raw), 2)]


def _channel(hue: int, offset: int) -> int:
    reach = SATURATION * min(LIGHTNESS, 1 - LIGHTNESS)
    step = (offset + hue / 30) % 12
    value = LIGHTNESS - reach * max(-1, min(step - 3, 9 - step, 1))
    return floor(value * 255 + 0.5)
