"""The overview: what every node of this installation has open, as one answer.

Owns: asking the nodes and putting their answers together, rates of rooms and nodes. Does not own: what one
room says of itself (party/census.py), who may ask (admin_rooms.py).

Rules: nothing is gathered while nobody asks; a node that does not answer within `WAIT_S` is named and the
rest is shown; a node tells of its fullest `MOST_ROOMS` rooms and how many there are. Edits a second are rows
of the journal between two looks, and cost the rooms nothing. Keeps rule M4.
"""

import asyncio
import os
import socket
import time
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

import orjson
import structlog

from party.census import PersonReading, Reading, read_people, read_room
from party.hub import Hub
from server.oversight import Notes

log = structlog.get_logger("kanvas.overview")

ASK: Final = "overview"
TELL: Final = "overview-told"
WAIT_S: Final = 0.5
MOST_ROOMS: Final = 500
RATE_S: Final = 1.5
"""A look closer to the one before is measured against the one before that."""

RATE_MOST_S: Final = 30.0
"""Since a look that is older than this nothing is said."""


Phase = Literal["starting", "ready", "draining"]


@dataclass(frozen=True, slots=True)
class NodeReading:
    """One process: since when (seconds since 1970), and what it has in total."""

    node: str
    host: str
    pid: int
    started_at: float
    phase: Phase
    connections: int
    rooms: int
    edits_per_s: float | None
    serves: bool = True
    """False of `kanvas worker`, to which nobody can be sent."""


@dataclass(frozen=True, slots=True)
class Told:
    """One node's answer: each room with its edits a second."""

    node: NodeReading
    rooms: list[tuple[Reading, float | None]]
    people: list[PersonReading]


@dataclass(slots=True)
class RoomView:
    """One room over all nodes that have it open: numbers of people are sums, of the document the largest."""

    room_id: str
    schema: str = ""
    version: str = ""
    nodes: list[str] = field(default_factory=list)
    connections: int = 0
    people: int = 0
    lagging: int = 0
    document_bytes: int = 0
    rows: int = 0
    row_bytes: int = 0
    waits_for_journal: bool = False
    edits_per_s: float | None = None

    def take_in(self, node: str, told: Reading, rate: float | None) -> None:
        """One more node has it open."""
        self.nodes.append(node)
        self.connections += told.connections
        self.people += told.people
        self.lagging += told.lagging
        self.waits_for_journal = self.waits_for_journal or told.waits_for_journal
        if told.document_bytes >= self.document_bytes:
            self.schema, self.version, self.document_bytes = told.schema, told.version, told.document_bytes
            self.rows, self.row_bytes = told.rows, told.row_bytes
        if rate is not None:
            # every node shows every row: the largest is the newest
            self.edits_per_s = max(rate, self.edits_per_s or 0.0)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the nodes told. `silent` are those that did not answer."""

    rooms: dict[str, RoomView]
    nodes: list[NodeReading]
    people: list[tuple[str, PersonReading]]
    silent: list[str]

    @property
    def total(self) -> int:
        """Open rooms, those that are not listed too; one that is open on two nodes may count twice."""
        return max(len(self.rooms), sum(node.rooms for node in self.nodes))


class Rates:
    """Differences between two looks at numbers that only grow. The time is passed in."""

    def __init__(self) -> None:
        self._older: tuple[float, dict[str, int]] = (float("-inf"), {})
        self._newer: tuple[float, dict[str, int]] = (float("-inf"), {})

    def look(self, counts: dict[str, int], now: float) -> dict[str, float]:
        """What each grew by in a second since a look of `RATE_S` ago or more; what is new has no rate yet."""
        if now - self._newer[0] >= RATE_S:
            self._older, self._newer = self._newer, (now, counts)
        since_s = now - self._older[0]
        if not 0 < since_s <= RATE_MOST_S:
            return {}
        before = self._older[1]
        return {
            name: max(0, count - before[name]) / since_s for name, count in counts.items() if name in before
        }


class Overview:
    """The rooms and nodes of this installation, when somebody looks."""

    def __init__(self, hub: Hub, notes: Notes, phase: Any, *, serves: bool = True) -> None:
        """`phase()` is this process's."""
        self._serves = serves
        self._hub = hub
        self._notes = notes
        self._phase = phase
        self._started_at = time.time()
        self._rates = Rates()
        self._asked = 0
        self._waiting: dict[int, tuple[set[str], list[Told], asyncio.Event]] = {}
        notes.on_note(ASK, self._heard_ask)
        notes.on_note(TELL, self._heard_told)

    async def look(self, room_id: str | None = None) -> Seen:
        """Ask every node; with a room, only for that one, and for who is in it. Takes `WAIT_S` at most."""
        self._asked += 1
        number, here = self._asked, self._notes.node
        others = {node for node in self._notes.nodes() if node != here}
        answers = [_read(self._tell(number, room_id))]
        if others:
            done = asyncio.Event()
            self._waiting[number] = (set(others), answers, done)
            self._notes.note(ASK, orjson.dumps([number, room_id]))
            try:
                async with asyncio.timeout(WAIT_S):
                    await done.wait()
            except TimeoutError:
                log.info("nodes did not answer", nodes=sorted(self._waiting[number][0]))
            finally:
                others = self._waiting.pop(number)[0]
        return _put_together(answers, sorted(others))

    def _tell(self, number: int, room_id: str | None) -> dict[str, Any]:
        rooms = self._hub.rooms.values()
        rates = self._rates.look({room.id: room.view.seq for room in rooms}, time.monotonic())
        shown = [room for room in rooms if room_id in (None, room.id)]
        shown.sort(key=lambda room: (-len(room.sessions), room.id))
        people = read_people(shown[0]) if room_id is not None and shown else []
        node = asdict(
            NodeReading(
                node=self._notes.node,
                host=socket.gethostname(),
                pid=os.getpid(),
                started_at=self._started_at,
                phase=self._phase(),
                connections=sum(len(room.sessions) for room in rooms),
                rooms=len(rooms),
                edits_per_s=sum(rates.values()) if rates or not rooms else None,
                serves=self._serves,
            )
        )
        if self._serves:
            # the version before takes no field that it does not know
            del node["serves"]
        return {
            "number": number,
            "node": node,
            "rooms": [[asdict(read_room(room)), rates.get(room.id)] for room in shown[:MOST_ROOMS]],
            "people": [asdict(one) for one in people],
        }

    def _heard_ask(self, sender: str, data: bytes) -> None:
        try:
            number, room_id = orjson.loads(data)
        except (ValueError, TypeError):
            log.warning("a note can't be read", sender=sender, topic=ASK)
            return
        self._notes.note(TELL, orjson.dumps(self._tell(number, room_id)), to=sender)

    def _heard_told(self, sender: str, data: bytes) -> None:
        try:
            told = orjson.loads(data)
            missing, answers, done = self._waiting[told["number"]]
            answer = _read(told)
        except (ValueError, KeyError, TypeError):
            # too late, or of a version that tells something else
            return
        if sender in missing:
            missing.discard(sender)
            answers.append(answer)
        if not missing:
            done.set()


def _read(told: dict[str, Any]) -> Told:
    """Raises KeyError, TypeError, ValueError for what a node of another version tells."""
    return Told(
        NodeReading(**told["node"]),
        [(Reading(**values), rate) for values, rate in told["rooms"]],
        [PersonReading(**values) for values in told["people"]],
    )


def _put_together(answers: list[Told], silent: list[str]) -> Seen:
    rooms: dict[str, RoomView] = {}
    nodes: list[NodeReading] = []
    people: list[tuple[str, PersonReading]] = []
    for told in answers:
        node = told.node
        nodes.append(node)
        for one, rate in told.rooms:
            rooms.setdefault(one.room_id, RoomView(one.room_id)).take_in(node.node, one, rate)
        people += [(node.node, one) for one in told.people]
    return Seen(rooms, sorted(nodes, key=lambda node: node.node), people, silent)
