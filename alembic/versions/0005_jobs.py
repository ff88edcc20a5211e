"""Work to be done after the answer: the queue of jobs.

Spelt out rather than taken from db/tables.py: a migration is history, the tables go on.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

AT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=True),
        sa.Column("run_at", AT, nullable=False),
        sa.Column("lease", sa.Text, nullable=True),
        sa.Column("lease_until", AT, nullable=True),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("max_attempts", sa.Integer, nullable=False),
        sa.Column("progress", sa.Float, nullable=False),
        sa.Column("words", sa.Text, nullable=False),
        sa.Column("result", sa.Text, nullable=True),
        sa.Column("error", sa.Text, nullable=True),
        sa.Column("room_id", sa.Text, nullable=True),
        sa.Column("user_id", sa.Text, nullable=True),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("updated_at", AT, nullable=False),
        sa.Column("finished_at", AT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.CheckConstraint("state IN ('queued', 'running', 'done', 'dead')", name=op.f("ck_jobs_state")),
        sa.CheckConstraint(
            "(state = 'running') = (lease IS NOT NULL AND lease_until IS NOT NULL)",
            name=op.f("ck_jobs_lease"),
        ),
        sa.CheckConstraint(
            "(state IN ('done', 'dead')) = (finished_at IS NOT NULL)", name=op.f("ck_jobs_finished")
        ),
    )
    for name, columns, where in (
        ("ix_jobs_claiming", ["kind", "run_at", "id"], "state = 'queued'"),
        ("ix_jobs_leases", ["lease_until"], "state = 'running'"),
        ("ix_jobs_finished", ["state", "finished_at"], "finished_at IS NOT NULL"),
        ("ix_jobs_dead", ["id"], "state = 'dead'"),
    ):
        op.create_index(name, "jobs", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
    where = "state = 'queued' AND key IS NOT NULL"
    op.create_index(
        "uq_jobs_queued_key",
        "jobs",
        ["kind", "key"],
        unique=True,
        sqlite_where=sa.text(where),
        postgresql_where=sa.text(where),
    )


def downgrade() -> None:
    op.drop_table("jobs")
