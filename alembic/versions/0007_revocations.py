"""Tokens that end before their time.

Spelt out rather than taken from db/tables.py: a migration is history, the tables go on.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

AT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "revocations",
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("issued_before", AT, nullable=True),
        sa.Column("revoked_at", AT, nullable=False),
        sa.Column("expires_at", AT, nullable=False),
        sa.PrimaryKeyConstraint("kind", "subject", name="pk_revocations"),
        sa.CheckConstraint("kind IN ('token', 'user')", name=op.f("ck_revocations_kind")),
        sa.CheckConstraint(
            "(kind = 'user') = (issued_before IS NOT NULL)", name=op.f("ck_revocations_issued_before")
        ),
    )
    op.create_index("ix_revocations_revoked", "revocations", ["revoked_at"])
    op.create_index("ix_revocations_expires", "revocations", ["expires_at"])


def downgrade() -> None:
    op.drop_table("revocations")
