"""Who people are, and what they sign in with."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from db.tables.base import UtcDateTime, metadata

users = Table(
    "users",
    metadata,
    Column("id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    # Of who signed in with it, folded; null for guests and for those a provider vouches for.
    Column("email", Text, nullable=True),
    # By `kanvas admin grant`.
    Column("is_admin", Boolean, nullable=False, server_default=text("false")),
    Column("is_guest", Boolean, nullable=False, server_default=text("false")),
    # The account a guest signed in to: what the guest made is that account's.
    Column("alias_of", Text, nullable=True),
    PrimaryKeyConstraint("id"),
)
# Who signs in by e-mail, and who is invited.
Index("ix_users_email", users.c.email, unique=True)
# The guests an account was: one look at each join.
Index(
    "ix_users_alias_of",
    users.c.alias_of,
    sqlite_where=users.c.alias_of.is_not(None),
    postgresql_where=users.c.alias_of.is_not(None),
)
# The operators: every process asks who they are, once a second.
Index(
    "ix_users_admin",
    users.c.is_admin,
    sqlite_where=users.c.is_admin.is_(True),
    postgresql_where=users.c.is_admin.is_(True),
)


# A link somebody was mailed to sign in with. Only its hash is kept; it counts once.
sign_in_links = Table(
    "sign_in_links",
    metadata,
    Column("token_hash", LargeBinary, nullable=False),
    Column("email", Text, nullable=False),
    # who asked was this guest then, and keeps what the guest made
    Column("guest_id", Text, nullable=True),
    Column("next_path", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("used_at", UtcDateTime, nullable=True),
    PrimaryKeyConstraint("token_hash"),
)
Index("ix_sign_in_links_expires", sign_in_links.c.expires_at)

# Where somebody is signed in: one row for each sign-in, by the id all its renewals share.
user_sessions = Table(
    "user_sessions",
    metadata,
    Column("id", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    # guest, email, provider
    Column("kind", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("user_agent", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("id"),
)
Index("ix_user_sessions_user", user_sessions.c.user_id, user_sessions.c.seen_at)
Index("ix_user_sessions_expires", user_sessions.c.expires_at)

# Personal access tokens: only the hash of each is kept.
personal_tokens = Table(
    "personal_tokens",
    metadata,
    Column("id", Text, nullable=False),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("token_hash", LargeBinary, nullable=False),
    # separated by spaces
    Column("scopes", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=True),
    Column("last_used_at", UtcDateTime, nullable=True),
    Column("last_used_from", Text, nullable=True),
    Column("revoked_at", UtcDateTime, nullable=True),
    PrimaryKeyConstraint("id"),
)
Index("ix_personal_tokens_hash", personal_tokens.c.token_hash, unique=True)
Index("ix_personal_tokens_user", personal_tokens.c.user_id, personal_tokens.c.created_at)

# What ends tokens before their time. Of kind token: subject is a token id, and what was renewed from it ends
# too; of kind user: subject is the user id, and sessions that began up to issued_before end.
revocations = Table(
    "revocations",
    metadata,
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    # no foreign key: whoever signs out may never have been written down
    Column("user_id", Text, nullable=False),
    Column("issued_before", UtcDateTime, nullable=True),
    Column("revoked_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("kind", "subject"),
    CheckConstraint("kind IN ('token', 'user')", name="kind"),
    CheckConstraint("(kind = 'user') = (issued_before IS NOT NULL)", name="issued_before"),
)
# find_since: what is new, asked for twice a second by every process.
Index("ix_revocations_revoked", revocations.c.revoked_at)
# purge_revocations: what no token can be renewed from any more.
Index("ix_revocations_expires", revocations.c.expires_at)
