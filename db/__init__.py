"""Everything SQL: tables, queries, the journal.

May import SQLAlchemy, Alembic, and of party its ports, errors and limits.
"""
