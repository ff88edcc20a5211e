"""What the nodes of one installation say to each other, in bytes.

Owns: the messages and their encoding, with a keyed digest in front. Does not own: whom they go to and what
they mean (relay), the connection (ports.Bus). Keeps rules B1, B12.

A message is: digest (16 bytes, BLAKE2b with the installation's key, over the sender's name and all that
follows), version, the sender's number, kind, and fields in numbers and buffers of lib0. What does not check
out is BadFrame: damage, another version, another installation or sender, heard before.
"""

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from party.errors import BadFrame
from party.freshness import Freshness
from party.ports import NO_CLAIMS, Owner, Principal, Role
from party.wire import Reader, encode_buffer, encode_uint

VERSION: Final = 2
DIGEST_BYTES: Final = 16
ROLES: Final[tuple[Role, ...]] = ("owner", "editor", "viewer", "commenter")
"""As they are numbered on the wire: new ones go to the end."""


class Beat(NamedTuple):
    """I am here. `number` counts them, so that a listener knows what it missed."""

    number: int


class Opened(NamedTuple):
    """I have these rooms open. Who has one too answers with Here, if it `asks` or I am news there."""

    rooms: tuple[str, ...]
    asks: bool = True


class State(NamedTuple):
    """One client's presence as its node stamped it, and whose it is; `state` is `null` when it is gone."""

    client_id: int
    clock: int
    state: bytes
    user_id: str


class Here(NamedTuple):
    """I have the room open too, up to `seq`, with all these people. Complete: who is not named is gone."""

    room: str
    epoch: int
    seq: int
    states: tuple[State, ...]
    people: tuple[Principal, ...]
    asks: bool


class Left(NamedTuple):
    """I do not have the room open."""

    room: str


class Rows(NamedTuple):
    """Rows `first_seq .. last_seq` are in the journal, and this is what they changed.

    When it is not whole it only says how far the journal goes.
    """

    room: str
    epoch: int
    first_seq: int
    last_seq: int
    frames: tuple[bytes, ...] = ()
    claims: Mapping[int, Owner] = NO_CLAIMS
    is_whole: bool = True
    """False: the frames were too large for the bus."""


class Presence(NamedTuple):
    """What changed in my part of the room's presence, and everybody connected here when that changed."""

    room: str
    states: tuple[State, ...]
    people: tuple[Principal, ...] | None = None


class Note(NamedTuple):
    """Something the edge tells itself on the other nodes."""

    topic: str
    data: bytes


Message = Beat | Opened | Here | Left | Rows | Presence | Note


def clock_us() -> int:
    """Microseconds since 1970, of this machine."""
    return time.time_ns() // 1000


class Codec:
    """Messages of one node to bytes, and others' back, under one key.

    Nodes of other installations are not understood, and nothing is understood twice. `clock` is in
    microseconds.
    """

    def __init__(self, node: str, key: bytes = b"", clock: Callable[[], int] = clock_us) -> None:
        self._node = node
        self._key = hashlib.blake2b(key, digest_size=32).digest()
        self._clock = clock
        self._number = 0
        self._heard = Freshness()

    def encode(self, message: Message) -> bytes:
        self._number = max(self._number + 1, self._clock())
        body = bytearray((VERSION,)) + encode_uint(self._number)
        match message:
            case Beat(number):
                body += b"\x00" + encode_uint(number)
            case Opened(rooms, asks):
                body += bytes((1, asks)) + encode_uint(len(rooms))
                for room in rooms:
                    body += _text(room)
            case Here(room, epoch, seq, states, people, asks):
                body += bytes((2, asks)) + _text(room) + encode_uint(epoch) + encode_uint(seq)
                body += _states(states) + _people(people)
            case Left(room):
                body += b"\x03" + _text(room)
            case Rows():
                body += _rows(message)
            case Presence(room, states, people_now):
                body += b"\x05" + _text(room) + _states(states)
                body += b"\x00" if people_now is None else b"\x01" + _people(people_now)
            case Note(topic, data):
                body += b"\x06" + _text(topic) + encode_buffer(data)
        return self._digest(self._node, body) + body

    def decode(self, data: bytes, sender: str) -> Message:
        """What `sender` said. Raises BadFrame."""
        if not hmac.compare_digest(data[:DIGEST_BYTES], self._digest(sender, data[DIGEST_BYTES:])):
            raise BadFrame("The message is damaged or not of this installation.")
        reader = Reader(data)
        reader.pos = DIGEST_BYTES
        if (version := reader.byte()) != VERSION:
            raise BadFrame(f"Messages of version {version} are not understood here.")
        number = reader.uint()
        message = _read(reader)
        reader.finish()
        if not self._heard.is_new(sender, number, self._clock()):
            raise BadFrame("The message was heard before, or is too old.")
        return message

    def _digest(self, sender: str, body: bytes | bytearray) -> bytes:
        name = _text(sender)
        return hashlib.blake2b(name + body, digest_size=DIGEST_BYTES, key=self._key).digest()


def _text(value: str) -> bytes:
    return encode_buffer(value.encode())


def _people(people: tuple[Principal, ...]) -> bytes:
    out = bytearray(encode_uint(len(people)))
    for one in people:
        out += _text(one.user_id) + _text(one.name) + bytes((ROLES.index(one.role),))
    return bytes(out)


def _states(states: tuple[State, ...]) -> bytes:
    out = bytearray(encode_uint(len(states)))
    for client_id, clock, state, user_id in states:
        out += encode_uint(client_id) + encode_uint(clock) + encode_buffer(state) + _text(user_id)
    return bytes(out)


def _rows(rows: Rows) -> bytes:
    out = bytearray((4, rows.is_whole))
    out += _text(rows.room)
    for number in (rows.epoch, rows.first_seq, rows.last_seq, len(rows.frames)):
        out += encode_uint(number)
    for frame in rows.frames:
        out += encode_buffer(frame)
    out += encode_uint(len(rows.claims))
    for client, owner in rows.claims.items():
        out += encode_uint(client) + _text(owner.user_id) + bytes((owner.is_relayed,))
    return bytes(out)


def _read(reader: Reader) -> Message:
    kind = reader.byte()
    if kind == 0:
        return Beat(reader.uint())
    if kind == 1:
        asks = _flag(reader)
        return Opened(tuple(reader.text() for _ in range(_count(reader, 1))), asks)
    if kind == 2:
        asks = _flag(reader)
        room, epoch, seq = reader.text(), reader.uint(), reader.uint()
        return Here(room, epoch, seq, _read_states(reader), _read_people(reader), asks)
    if kind == 3:
        return Left(reader.text())
    if kind == 4:
        return _read_rows(reader)
    if kind == 5:
        room, states = reader.text(), _read_states(reader)
        return Presence(room, states, _read_people(reader) if _flag(reader) else None)
    if kind == 6:
        return Note(reader.text(), reader.buffer())
    raise BadFrame(f"There is no message of kind {kind} between nodes.")


def _read_rows(reader: Reader) -> Rows:
    is_whole = _flag(reader)
    room = reader.text()
    epoch, first_seq, last_seq = reader.uint(), reader.uint(), reader.uint()
    if not 0 < first_seq <= last_seq:
        raise BadFrame("The rows end before they begin.")
    frames = tuple(reader.buffer() for _ in range(_count(reader, 1)))
    claims: dict[int, Owner] = {}
    for _ in range(_count(reader, 3)):
        client = reader.uint()
        claims[client] = Owner(reader.text(), _flag(reader))
    return Rows(room, epoch, first_seq, last_seq, frames, claims, is_whole)


def _read_states(reader: Reader) -> tuple[State, ...]:
    return tuple(
        State(reader.uint(), reader.uint(), reader.buffer(), reader.text()) for _ in range(_count(reader, 4))
    )


def _read_people(reader: Reader) -> tuple[Principal, ...]:
    people = []
    for _ in range(_count(reader, 3)):
        user_id, name, role = reader.text(), reader.text(), reader.byte()
        if role >= len(ROLES):
            raise BadFrame("There is no such role.")
        people.append(Principal(user_id, name, ROLES[role]))
    return tuple(people)


def _flag(reader: Reader) -> bool:
    if (value := reader.byte()) > 1:
        raise BadFrame("That is neither yes nor no.")
    return value == 1


def _count(reader: Reader, least_bytes: int) -> int:
    count = reader.uint()
    if count * least_bytes > reader.end - reader.pos:
        raise BadFrame("The message promises more than it has bytes for.")
    return count
