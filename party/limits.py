"""The engine's limits: frozen numbers, units in their names.

Owns: every bound the engine keeps. Does not own: limits of the HTTP edge (server/settings/).
"""

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Limits:
    """All bounds of one process; the defaults suit a small machine."""

    max_document_bytes: int = 64 * MIB
    """Largest sync step 1 or 2 accepted, and the largest WebSocket message."""

    max_update_bytes: int = 1 * MIB
    """Largest single update."""

    max_document_structs: int = 1_000_000
    """Most structs and deleted ranges of a step 2; a drawing of 5 MB has 90,000. A struct of 2 bytes takes
    130 bytes of memory and 1.5 us to look at."""

    max_update_structs: int = 100_000
    """The same of a single update."""

    max_document_clients: int = 20_000
    """Most new client ids of a step 2 or of an update over HTTP: each is bound for ever (O1)."""

    max_update_clients: int = 1_000
    """The same of a live update; a page has one."""

    max_presence_bytes: int = 4 * KIB
    """Largest awareness state of one client; a larger one is dropped and counted."""

    max_presence_entries: int = 4_096
    """Most client ids one awareness message may name; one with more is dropped and counted."""

    max_presence_depth: int = 16
    """Deepest nesting of an awareness state; a deeper one is dropped and counted."""

    max_presence_clients: int = 64
    """Most awareness client ids one session may own."""

    max_value_depth: int = 64
    """Deepest nesting of a value inside an update."""

    max_type_depth: int = 256
    """Deepest nesting of shared types; yrs deletes recursively and overflows the stack at about 40,000."""

    mailbox_messages: int = 512
    """Waiting messages of one session above which its socket is no longer read."""

    mailbox_bytes: int = 4 * MIB
    """Waiting bytes of one session above which its socket is no longer read."""

    presence_buffer_bytes: int = 64 * KIB
    """Unsent bytes of a connection above which presence is not sent to it."""

    outbox_bytes: int = 1 * MIB
    """Unsent bytes of a connection above which updates are withheld until it drains."""

    max_vector_bytes: int = 128 * KIB
    """Largest sync step 1, or twice the room's own state vector if that is more: 18,000 page loads."""

    max_answer_bytes: int = 256 * MIB
    """Answers to sync steps, made for one connection each, that may be unread in the whole process."""

    answer_s_per_byte: float = 0.5e-6
    """How long after an answer of so many bytes a connection may ask again: 2.5 s after 5 MB, which takes
    some 30 ms to encode."""

    lag_deadline_s: float = 60.0
    """A connection that has not drained for this long is closed with 1013."""

    lag_drain_bytes: int = 256 * KIB
    """Bytes a slow connection must take within that time to be given as much again (35 kbit/s)."""

    quiet_s: float = 20.0
    """A connection sent nothing for this long gets an empty awareness message."""

    idle_s: float = 30.0
    """A room without sessions for this long is checkpointed and unloaded."""

    checkpoint_rows: int = 2_000
    """Journal rows since the last checkpoint at which an open room is checkpointed."""

    checkpoint_bytes: int = 4 * MIB
    """Journal bytes since the last checkpoint at which an open room is checkpointed."""

    checkpoint_share: float = 0.05
    """Part of the time that one room in use may be checkpointed: at 8,000 edits/s it is full four times a
    second, and its checkpoints took a third of the core."""

    commit_deadline_s: float = 15.0
    """How long a room may stay frozen on a failing journal before its sessions are sent away."""

    slow_commit_s: float = 1.0
    """A commit that takes longer freezes its room: joins are answered from committed bytes."""

    beat_s: float = 1.0
    """How often the hub looks after quiet connections, laggards, idle and overfull rooms."""

    pace_s: float = 0.016
    """A busy room sends at most once in this time; an idle one at once."""

    pace_per_connection_s: float = 0.00025
    """From 64 connections on a busy room sends less often, this much for each: a send costs 4 to 5 µs, so
    fan-out takes no more than 2 % of a core for each room."""

    crowd_pace_s: float = 0.050
    """A crowd makes it no slower than this."""

    max_pace_s: float = 0.25
    """Longest time between two sends of a busy room when the process is late."""

    batch_messages: int = 512
    """Most updates of one batch; what is left is the next one's."""

    batch_bytes: int = 2 * MIB
    """Bytes of updates from which on a batch takes no more."""

    tick_gap_s: float = 0.003
    """Least time between two runs of the ticker: what wakes in between is visited together. A core that
    sleeps between two edits takes 150 to 200 µs more for each than one that is awake."""

    tick_slice_s: float = 0.004
    """Time the ticker works on rooms before it yields to the event loop."""

    purge_elements: int = 200
    """Most elements one batch removes for good: some 8 ms of the loop."""

    max_repairs: int = 3
    """Repairs of one value by one session after which it is closed."""
