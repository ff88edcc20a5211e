"""Notes between nodes of one event loop: what the hub offers where there are several, without a hub's bus.

Owns: handing every note to the others, in a later turn of the loop. A node that was `muted` hears nothing.
"""

import asyncio
from collections.abc import Callable


class Wireless:
    """One node's notes; the second argument is a node it talks to."""

    def __init__(self, node: str, other: "Wireless | None" = None) -> None:
        self.node = node
        self.is_muted = False
        self._all: dict[str, Wireless] = other._all if other is not None else {}
        self._handlers: dict[str, list[Callable[[str, bytes], None]]] = {}
        self._all[node] = self

    def nodes(self) -> list[str]:
        return sorted(self._all)

    def on_note(self, topic: str, handler: Callable[[str, bytes], None]) -> None:
        self._handlers.setdefault(topic, []).append(handler)

    def note(self, topic: str, data: bytes, to: str | None = None) -> None:
        for node, one in self._all.items():
            if node != self.node and to in (None, node) and not one.is_muted:
                for handler in one._handlers.get(topic, []):
                    asyncio.get_running_loop().call_soon(handler, self.node, data)
