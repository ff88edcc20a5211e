"""Real updates, made before the run: one element per writer, and then its moves.

Owns: making them, and reading which edits an update that comes back holds. Not: sending and counting.

The moves are made once, with pycrdt, under a client id of five bytes; a writer's are the same bytes with his
id put in. Each builds on the writer's own edits alone, so that any y-protocols server takes them.
"""

import struct
from collections.abc import Sequence
from typing import Any, Final

from pycrdt import Doc, Map

from party.admission import dissect
from party.wire import encode_uint
from tests.load.dialect import read_uint

LEAST_ID: Final = 2**28
MOST_ID: Final = 2**32
"""Ids between take five bytes, as the 32-bit ids of Yjs nearly always do."""

MODEL_ID: Final = 0xE1D2C3B4
MODEL_NAME: Final = "load-writer-model"

Range = tuple[int, int, int]
"""Client id, from clock, to clock."""


class Edits:
    """The moves of one model writer, and how they look for another. `bulk_bytes` makes each that large."""

    def __init__(self, bulk_bytes: int = 0) -> None:
        self._bulk_bytes = bulk_bytes
        self._doc: Doc[Any] = Doc(client_id=MODEL_ID)
        self._made: list[bytes] = []
        self._watch = self._doc.observe(lambda event: self._made.append(event.update))
        elements: Map[Any] = self._doc.get("elements", type=Map)
        with self._doc.transaction():
            elements[MODEL_NAME] = Map(
                {
                    "kind": {"type": "rectangle", "seed": 1},
                    "geometry": {"x": 0, "y": 0, "width": 1, "height": 1, "angle": 0},
                    "z": "a0",
                    "deleted": False,
                }
            )
        self._element: Map[Any] = elements[MODEL_NAME]
        self._create = self._made.pop()
        self._moves: list[bytes] = self._made
        ((_, _, self.first_clock),) = read_ranges(self._create)
        """The clock of the first move; each takes one."""

    def make(self, count: int) -> None:
        """Have at least `count` moves ready (15 µs each)."""
        number = len(self._moves)
        while number < count:
            number += 1
            if self._bulk_bytes:
                self._element["meta"] = {"customData": {"note": f"{number:x}".ljust(self._bulk_bytes, "-")}}
            else:
                place = {"x": number % 1000 + 0.25, "y": 1.5, "width": 10, "height": 10, "angle": 0}
                self._element["geometry"] = place

    def create(self, client_id: int, number: int) -> bytes:
        """The update that draws the writer's element."""
        name = f"load-{number:012x}".encode()
        return self._create.replace(MODEL_BYTES, encode_uint(client_id)).replace(MODEL_NAME.encode(), name)

    def move(self, number: int, client_id: bytes) -> bytes:
        """The writer's move of this number; `client_id` is encoded."""
        if number >= len(self._moves):
            self.make(number + 200)
        return self._moves[number].replace(MODEL_BYTES, client_id)


MODEL_BYTES: Final = encode_uint(MODEL_ID)


def read_ranges(update: bytes) -> Sequence[Range]:
    """Which clocks of which clients the structs of an update hold."""
    # what most servers send: one client, one struct, one value (party.admission takes ten times as long)
    if update[0] == 1 and update[1] == 1:
        try:
            client, at = read_uint(update, 2)
            clock, at = read_uint(update, at)
            if update[at] == 0xA8:
                _, at = read_uint(update, at + 1)
                _, at = read_uint(update, at)
                if update[at] == 1:
                    return ((client, clock, clock + 1),)
        except IndexError:
            pass
    spans = dissect(update, max_depth=256).spans
    return [(client, start, stop) for client, runs in spans.items() for start, stop in runs]


def drawing(size_bytes: int) -> bytes:
    """A document of about this size as one update: elements as a busy canvas has them."""
    doc: Doc[Any] = Doc(client_id=MODEL_ID)
    elements: Map[Any] = doc.get("elements", type=Map)
    points = [[round(n * 3.7, 2), round(n * n * 0.31, 2)] for n in range(60)]
    per_element = 1390
    with doc.transaction():
        for number in range(max(1, size_bytes // per_element)):
            elements[f"load-{number:012x}"] = Map(
                {
                    "kind": {"type": "freedraw", "seed": number},
                    "geometry": {
                        **{"x": number, "y": number / 3, "width": 218, "height": 1079, "angle": 0},
                        "points": points,
                        "pressures": [],
                    },
                    "style": {"strokeColor": "#1e1e1e", "backgroundColor": "transparent", "opacity": 100},
                    "z": f"a{struct.pack('!I', number).hex()}",
                    "deleted": False,
                }
            )
    return doc.get_update()
