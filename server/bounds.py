"""The transport's limits: frozen numbers, units in their names.

Owns: every bound a socket keeps before and beside the engine. Does not own: the engine's limits
(party/limits.py), what an operator may set (settings/).
"""

from dataclasses import dataclass

from party.limits import KIB, MIB, Limits

HEAD_BYTES = 64
"""What the y-protocols may put before an update: types, and a length of at most eight bytes."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """All bounds of one process's sockets."""

    join_s: float = 15.0
    """Between the handshake and the seat in the room: who it is, whether there is a place, the room."""

    max_message_bytes: int = 64 * MIB + HEAD_BYTES
    """Largest message, which only a sync step can be."""

    large_bytes: int = 1 * MIB + HEAD_BYTES
    """A larger message must be a sync step, and needs a share of the budget before it is read on."""

    inflight_bytes: int = 256 * MIB
    """Budget of the process for large messages that are not complete yet."""

    inflight_wait_s: float = 30.0
    """How long a socket waits for its share of that budget before it is sent away."""

    free_fragments: int = 64
    """Fragments of one message that may be of any size."""

    fragment_bytes: int = 1 * KIB
    """Mean size that the fragments beyond those must have."""

    rate_window_s: float = 10.0
    """A message that has begun must be complete or go on at a rate, measured over windows this long."""

    rate_bytes_per_s: int = 1 * KIB
    """That rate."""

    large_rate_bytes_per_s: int = 32 * KIB
    """That rate for a message that holds a share of the budget."""

    control_per_s: float = 10.0
    """Pings and pongs a peer may send, on average."""

    control_burst: int = 20
    """And at once."""

    messages_per_turn: int = 64
    """Messages of one socket that are taken in before the others have their turn."""

    silent_after_s: float = 20.0
    """A peer that sent nothing for this long is pinged."""

    silent_turns: int = 3
    """A peer that sent nothing for this many times `silent_after_s`, and takes nothing either, is gone."""

    close_s: float = 2.0
    """From the close frame to the end of the socket, whatever the peer does."""

    @classmethod
    def of(cls, limits: Limits) -> "Bounds":
        """The bounds that fit the engine's limits."""
        return cls(
            max_message_bytes=limits.max_document_bytes + HEAD_BYTES,
            large_bytes=limits.max_update_bytes + HEAD_BYTES,
        )
