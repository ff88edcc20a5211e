"""Every table of Kanvas, in SQLAlchemy Core, neutral between SQLite and PostgreSQL.

Owns: names, types, keys, checks and indexes. The migrations in alembic/versions build the same thing (a
test compares the two). Does not own: queries (db/users.py, db/rooms.py, ...).

Rules: every constraint has a name (SQLite can only alter what it can name); times are aware datetimes in
UTC; ids are text, made above this floor (but for those of jobs); nothing hot shares a row with anything
cold (`room_heads` is its own table).

A room's journal is `room_updates` (raw updates, seq 1, 2, 3, ...) and at most one checkpoint in
`canvas_states`; `room_heads` says up to where each goes: the rows present are exactly checkpoint_seq + 1 ..
seq.
"""

from db.tables.assets import assets, renditions, uploads
from db.tables.audit import audit_events, audit_heads
from db.tables.base import UtcDateTime, metadata
from db.tables.comments import comment_mentions, comment_reads, comment_threads, comments
from db.tables.jobs import idempotency_keys, jobs
from db.tables.journal import canvas_states, data_keys, quarantine, room_clients, room_updates, tombstones
from db.tables.people import personal_tokens, revocations, sign_in_links, user_sessions, users
from db.tables.rooms import (
    invitations,
    room_exclusions,
    room_heads,
    room_members,
    room_participants,
    rooms,
    share_links,
)

__all__ = [
    "UtcDateTime",
    "assets",
    "audit_events",
    "audit_heads",
    "canvas_states",
    "comment_mentions",
    "comment_reads",
    "comment_threads",
    "comments",
    "data_keys",
    "idempotency_keys",
    "invitations",
    "jobs",
    "metadata",
    "personal_tokens",
    "quarantine",
    "renditions",
    "revocations",
    "room_clients",
    "room_exclusions",
    "room_heads",
    "room_members",
    "room_participants",
    "room_updates",
    "rooms",
    "share_links",
    "sign_in_links",
    "tombstones",
    "uploads",
    "user_sessions",
    "users",
]
