"""Rooms, who is and was in them, and how people get in."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from db.tables.base import UtcDateTime, metadata

rooms = Table(
    "rooms",
    metadata,
    Column("id", Text, nullable=False),
    Column("title", Text, nullable=False),
    # The title as search sees it: SQLite's LIKE folds only ASCII, so the folding is ours (rooms.py).
    Column("title_folded", Text, nullable=False),
    Column("visibility", Text, nullable=False),
    Column("schema", Text, nullable=False),
    Column("epoch", Integer, nullable=False, server_default=text("1")),
    Column("revision", Integer, nullable=False, server_default=text("1")),
    Column("creator_id", Text, ForeignKey("users.id"), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("deleted_at", UtcDateTime, nullable=True),
    # Since when the operator wants no edits; null for nearly all.
    Column("frozen_at", UtcDateTime, nullable=True),
    # What everybody may do who has its address.
    Column(
        "default_role",
        Text,
        CheckConstraint("default_role IN ('none', 'viewer', 'commenter', 'editor')", name="default_role"),
        nullable=False,
        server_default=text("'editor'"),
    ),
    # Whether others see who only looks.
    Column("shows_viewers", Boolean, nullable=False, server_default=text("true")),
    # When it was last changed who may do what in it; null: never.
    Column("access_at", UtcDateTime, nullable=True),
    PrimaryKeyConstraint("id"),
    CheckConstraint("visibility IN ('public', 'unlisted')", name="visibility"),
    CheckConstraint("schema IN ('canvas', 'open')", name="schema"),
)

# The public lobby: newest first, trash left out. The page after a cursor is one range of this index.
Index(
    "ix_rooms_listing",
    rooms.c.visibility,
    rooms.c.created_at,
    rooms.c.id,
    sqlite_where=rooms.c.deleted_at.is_(None),
    postgresql_where=rooms.c.deleted_at.is_(None),
)
# "My trash", and the foreign key to users.
Index("ix_rooms_creator", rooms.c.creator_id, rooms.c.created_at, rooms.c.id)
# restraints.py asks for all of them, a little more often than once a second.
Index(
    "ix_rooms_frozen",
    rooms.c.frozen_at,
    sqlite_where=rooms.c.frozen_at.is_not(None),
    postgresql_where=rooms.c.frozen_at.is_not(None),
)
# What purge_trash looks for; live rooms cost it nothing.
Index(
    "ix_rooms_trash",
    rooms.c.deleted_at,
    sqlite_where=rooms.c.deleted_at.is_not(None),
    postgresql_where=rooms.c.deleted_at.is_not(None),
)

# What every process asks for, a little more often than once a second: where roles changed just now.
Index(
    "ix_rooms_access",
    rooms.c.access_at,
    sqlite_where=rooms.c.access_at.is_not(None),
    postgresql_where=rooms.c.access_at.is_not(None),
)

room_heads = Table(
    "room_heads",
    metadata,
    Column("room_id", Text, ForeignKey("rooms.id", ondelete="CASCADE"), nullable=False),
    Column("seq", BigInteger, nullable=False, server_default=text("0")),
    Column("checkpoint_seq", BigInteger, nullable=False, server_default=text("0")),
    PrimaryKeyConstraint("room_id"),
    CheckConstraint("checkpoint_seq >= 0 AND checkpoint_seq <= seq", name="order"),
    sqlite_with_rowid=False,
)

room_participants = Table(
    "room_participants",
    metadata,
    Column("room_id", Text, ForeignKey("rooms.id", ondelete="CASCADE"), nullable=False),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    # Nobody reads it any more (room_members says it); versions before 0009 do.
    Column("role", Text, nullable=False),
    Column("first_seen_at", UtcDateTime, nullable=False),
    Column("last_seen_at", UtcDateTime, nullable=False),
    # of the room, as in room_members; versions before 0010 leave it out until they are seen again
    Column("room_created_at", UtcDateTime, nullable=True),
    PrimaryKeyConstraint("room_id", "user_id"),
    CheckConstraint("role IN ('owner', 'editor', 'viewer')", name="role"),
    sqlite_with_rowid=False,
)
# "My rooms", newest first.
Index(
    "ix_room_participants_user",
    room_participants.c.user_id,
    room_participants.c.room_created_at,
    room_participants.c.room_id,
)

# Who has a role of their own in a room. A link's id: when it is revoked, who came by it falls back to
# `own_role`, or loses the role.
room_members = Table(
    "room_members",
    metadata,
    Column("room_id", Text, ForeignKey("rooms.id", ondelete="CASCADE"), nullable=False),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("role", Text, nullable=False),
    Column("link_id", Text, nullable=True),
    Column("own_role", Text, nullable=True),
    Column("invited_by", Text, nullable=True),
    # of the room: "my rooms" are read newest first, without a look at the rooms
    Column("room_created_at", UtcDateTime, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("room_id", "user_id"),
    CheckConstraint("role IN ('owner', 'editor', 'commenter', 'viewer')", name="role"),
    CheckConstraint("own_role IN ('editor', 'commenter', 'viewer')", name="own_role"),
    sqlite_with_rowid=False,
)
# "My rooms", newest first.
Index(
    "ix_room_members_user",
    room_members.c.user_id,
    room_members.c.room_created_at,
    room_members.c.room_id,
)
# A room has one owner.
Index(
    "uq_room_members_owner",
    room_members.c.room_id,
    unique=True,
    sqlite_where=room_members.c.role == "owner",
    postgresql_where=room_members.c.role == "owner",
)
# Whom a guest let in who becomes an account.
Index(
    "ix_room_members_invited_by",
    room_members.c.invited_by,
    sqlite_where=room_members.c.invited_by.is_not(None),
    postgresql_where=room_members.c.invited_by.is_not(None),
)
# Who came by a link.
Index(
    "ix_room_members_link",
    room_members.c.link_id,
    sqlite_where=room_members.c.link_id.is_not(None),
    postgresql_where=room_members.c.link_id.is_not(None),
)

# Somebody asked in, by e-mail or by user id. Only the hash of a mailed token is kept.
invitations = Table(
    "invitations",
    metadata,
    Column("id", Text, nullable=False),
    Column("room_id", Text, ForeignKey("rooms.id", ondelete="CASCADE"), nullable=False),
    Column("email", Text, nullable=True),
    Column("user_id", Text, nullable=True),
    Column("role", Text, nullable=False),
    Column("token_hash", LargeBinary, nullable=True),
    Column("invited_by", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    # accepted, declined or withdrawn; null while it is open
    Column("closed_as", Text, nullable=True),
    Column("closed_at", UtcDateTime, nullable=True),
    PrimaryKeyConstraint("id"),
    CheckConstraint("(email IS NULL) <> (user_id IS NULL)", name="who"),
    CheckConstraint("role IN ('editor', 'commenter', 'viewer')", name="role"),
    CheckConstraint("closed_as IN ('accepted', 'declined', 'withdrawn')", name="closed_as"),
)
# count_open, and list_of_room, newest first; the foreign key when the room is purged.
Index("ix_invitations_room", invitations.c.room_id, invitations.c.created_at)
# list_of_user: those for somebody by id; when a guest signs in, those for the guest.
Index("ix_invitations_user", invitations.c.user_id, invitations.c.created_at)
# list_of_user and is_known_email by address; count_mailed since a time.
Index("ix_invitations_email", invitations.c.email, invitations.c.created_at)
# find_by_token and find_entered_by_token: who comes with the mail.
Index("ix_invitations_token", invitations.c.token_hash, unique=True)

share_links = Table(
    "share_links",
    metadata,
    Column("id", Text, nullable=False),
    Column("room_id", Text, ForeignKey("rooms.id", ondelete="CASCADE"), nullable=False),
    Column("role", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("token_hash", LargeBinary, nullable=False),
    # scrypt, with its salt and numbers
    Column("password_hash", Text, nullable=True),
    Column("created_by", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=True),
    Column("max_uses", Integer, nullable=True),
    Column("uses", Integer, nullable=False, server_default=text("0")),
    Column("revoked_at", UtcDateTime, nullable=True),
    PrimaryKeyConstraint("id"),
    CheckConstraint("role IN ('editor', 'commenter', 'viewer')", name="role"),
    CheckConstraint("max_uses IS NULL OR uses <= max_uses", name="uses"),
)
# count_links, and list_links, newest first; the foreign key when the room is purged.
Index("ix_share_links_room", share_links.c.room_id, share_links.c.created_at)
# find_link: who comes by the link.
Index("ix_share_links_token", share_links.c.token_hash, unique=True)

# Whom the operator keeps out of a room until when; an empty user_id is everybody. No foreign key to users: it
# may be somebody this database has never seen.
room_exclusions = Table(
    "room_exclusions",
    metadata,
    Column("room_id", Text, ForeignKey("rooms.id", ondelete="CASCADE"), nullable=False),
    Column("user_id", Text, nullable=False),
    Column("until", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("room_id", "user_id"),
)
