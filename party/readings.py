"""Readings: questions that walk a whole document, answered from committed bytes.

Owns: loading a throwaway document and writing the answer as JSON bytes. Does not own: where that happens (in
a child process, server/readers.py: native code may hang on a document, and only a process can be killed),
what an Excalidraw file is (excalidraw.py). Takes and gives plain values only. Keeps rules C10, H10.
"""

import json
from collections.abc import Sequence
from typing import Any, Final, Literal

from party.document import ELEMENTS, Document
from party.errors import RootNotFound
from party.excalidraw import drawing

META: Final = "meta"

RootType = Literal["map", "array", "text", "xml"]


def read_drawing(base: bytes, frames: Sequence[bytes], source: str, deleted: bool) -> bytes:
    """A canvas document as an `.excalidraw` file. Raises DocumentBroken."""
    document = Document.load(base, frames)
    elements = json.loads(document.read_root(ELEMENTS, "map"))
    meta = json.loads(document.read_root(META, "map"))
    document.close()
    return _encode(drawing(elements, meta, source=source, deleted=deleted))


def read_root(base: bytes, frames: Sequence[bytes], name: str, kind: RootType) -> bytes:
    """One root of an open document: a map as an object, an array as a list, text and XML as a string.

    Shared types inside it are written the same way. Raises RootNotFound, DocumentBroken.
    """
    document = Document.load(base, frames)
    names = document.root_names()
    if name not in names:
        raise RootNotFound(names)
    found = document.read_root(name, kind)
    document.close()
    # of maps and arrays the library writes JSON itself
    return found.encode() if kind in ("map", "array") else _encode(found)


def _encode(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
