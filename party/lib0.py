"""lib0 values in bytes: how far they reach, without an object per value.

Owns: variable-length integers and `any` values as `(data, position) -> position`. Does not own: what they
mean (admission). Reading beyond the end is an IndexError, a wrong text a UnicodeDecodeError: the caller turns
both into its own error once, not at every byte. Keeps rules D2, W2, W3. Pure.
Source: lib0 encoding.js, decoding.js (readVarUint, readVarInt, readAny).

Admission reads every byte that comes in, so this is written for speed: no reader object, no method calls,
one-byte numbers in line. A move of 87 B took 10.5 µs with a cursor object and 6.2 so; with the counts of D11
to D13 it is 8.5 to 9.
"""

import json
from typing import Any, Final

from party.errors import BadUpdate

MAX_SAFE_INTEGER: Final = 2**53 - 1
"""The largest integer a JavaScript peer reads exactly (W2)."""

TOO_EARLY: Final = "The update ends too early."

_IDS: dict[bytes, int] = {}
"""Client ids by their bytes. Yjs's take five, yrs's eight, and each comes some three times an update:
0.25 µs against 0.9."""

_MAX_IDS: Final = 8192

# how many bytes follow a value's first, -1 when that is not fixed
_SIZES: Final = [-1] * 256
for _kind, _size in {120: 0, 121: 0, 126: 0, 127: 0, 122: 8, 123: 8, 124: 4}.items():
    _SIZES[_kind] = _size
_INTEGER: Final = 125
_TEXT: Final = 119
_OBJECT: Final = 118
_ARRAY: Final = 117
_BYTES: Final = 116


def read_uint(data: bytes, pos: int) -> tuple[int, int]:
    """An unsigned integer of 7-bit groups, the least first, at most 2^53 - 1 (W2), and where it ends."""
    value = data[pos]
    pos += 1
    if value < 0x80:
        return value, pos
    byte = data[pos]
    pos += 1
    value = value & 0x7F | (byte & 0x7F) << 7
    if byte < 0x80:
        return value, pos
    for shift in (14, 21, 28, 35, 42, 49):
        byte = data[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value > MAX_SAFE_INTEGER:
                break
            return value, pos
    raise BadUpdate("A number in the update is too large or cut off.")


def read_id(data: bytes, pos: int) -> tuple[int, int]:
    """As `read_uint`, for client ids: the same few come again and again."""
    # a number is known by all its bytes: no other one begins with them
    client = _IDS.get(data[pos : pos + 5])
    if client is not None:
        return client, pos + 5
    client = _IDS.get(data[pos : pos + 8])
    if client is not None:
        return client, pos + 8
    client, end = read_uint(data, pos)
    if end - pos in (5, 8):
        if len(_IDS) >= _MAX_IDS:
            _IDS.clear()
        _IDS[data[pos:end]] = client
    return client, end


def read_count(data: bytes, pos: int, least_bytes: int) -> tuple[int, int]:
    """A count of things that take `least_bytes` each; more than fit is refused before any loop (W3)."""
    count = data[pos]
    pos += 1
    if count >= 0x80:
        count, pos = read_uint(data, pos - 1)
    if count * least_bytes > len(data) - pos:
        raise BadUpdate("The update promises more than it has bytes for.")
    return count, pos


def read_text(data: bytes, pos: int) -> tuple[str, int]:
    """A text and where it ends."""
    length = data[pos]
    pos += 1
    if length >= 0x80:
        length, pos = read_uint(data, pos - 1)
    end = pos + length
    if end > len(data):
        raise BadUpdate(TOO_EARLY)
    return data[pos:end].decode(), end


def skip_bytes(data: bytes, pos: int) -> int:
    """Where a length and as many bytes end."""
    length, pos = read_uint(data, pos)
    if length > len(data) - pos:
        raise BadUpdate(TOO_EARLY)
    return pos + length


def skip_any(data: bytes, pos: int, depth: int) -> int:
    """Where one `any` value ends, which may be at most `depth` levels deep. May end behind the data."""
    kind = data[pos]
    pos += 1
    size = _SIZES[kind]
    if size >= 0:
        return pos + size
    if kind == _TEXT:
        return read_text(data, pos)[1]
    if kind == _INTEGER:
        return _skip_int(data, pos)
    if kind == _OBJECT:
        if depth <= 0:
            raise BadUpdate("A value in the update is nested too deep.")
        total = len(data)
        count, pos = read_count(data, pos, 2)
        for _ in range(count):
            # the key, and a number as its value, in line: an object of five is 1.1 µs against 1.6
            length = data[pos]
            pos += 1
            if length >= 0x80:
                length, pos = read_uint(data, pos - 1)
            end = pos + length
            if end >= total:
                raise BadUpdate(TOO_EARLY)
            data[pos:end].decode()
            kind = data[end]
            size = _SIZES[kind]
            if size >= 0:
                pos = end + 1 + size
            elif kind == _INTEGER:
                pos = end + 2 if data[end + 1] < 0x80 else _skip_int(data, end + 1)
            else:
                pos = skip_any(data, end, depth - 1)
        return pos
    if kind == _ARRAY:
        if depth <= 0:
            raise BadUpdate("A value in the update is nested too deep.")
        count, pos = read_count(data, pos, 1)
        for _ in range(count):
            size = _SIZES[data[pos]]
            pos = pos + 1 + size if size >= 0 else skip_any(data, pos, depth - 1)
        return pos
    if kind == _BYTES:
        return skip_bytes(data, pos)
    raise BadUpdate(f"There is no value of type {kind} in lib0.")


def _skip_int(data: bytes, pos: int) -> int:
    """A signed integer: 6 bits and a sign first, then 7-bit groups; 8 bytes at most."""
    for end in range(pos, pos + 8):
        if data[end] < 0x80:
            return end + 1
    raise BadUpdate("A number in the update is too large.")


def skip_json(data: bytes, pos: int, depth: int) -> int:
    """Where a text ends that must be JSON, at most `depth` levels deep: a Yjs client parses it unasked."""
    text, pos = read_text(data, pos)
    # every level opens with a bracket
    if text.count("[") + text.count("{") > depth and _is_deeper(text, depth):
        raise BadUpdate("A value in the update is nested too deep.")
    try:
        json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as exc:
        raise BadUpdate("A value in the update is not JSON.") from exc
    return pos


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _is_deeper(text: str, depth: int) -> bool:
    level = 0
    quoted = escaped = False
    for char in text:
        if quoted:
            quoted = escaped or char != '"'
            escaped = char == "\\" and not escaped
        elif char == '"':
            quoted = True
        elif char in "[{":
            level += 1
            if level > depth:
                return True
        elif char in "]}":
            level -= 1
    return False
