"""The ledger's schema: today's tables, which a fresh database gets at once, and the steps that bring an older one there.

The trap: a step and the table that it changes are written down twice; a test holds what the steps lead to against a fresh schema.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    insert,
    text,
    update,
)

metadata = MetaData()

schema = Table("schema", metadata, Column("version", Integer, nullable=False))

runs = Table(
    "runs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", String, nullable=False),
    Column("fingerprint", String, nullable=False),
    Column("taxonomy_version", String, nullable=False),
    Column("seed", Integer, nullable=False),
    Column("settings", Text, nullable=False),
    Column("fewtag_version", String, nullable=False),
    Column("started", String, nullable=False),
)

finishes = Table(
    "finishes",
    metadata,
    Column("run_id", Integer, ForeignKey("runs.id"), primary_key=True),
    Column("at", String, nullable=False),
)

models = Table(
    "models",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String, nullable=False),
    Column("revision", String, nullable=False),
    Column("prompt_hash", String, nullable=False),
    UniqueConstraint("name", "revision", "prompt_hash"),
)

tags = Table(
    "tags",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("run_id", Integer, ForeignKey("runs.id"), nullable=False),
    Column("model_id", Integer, ForeignKey("models.id"), nullable=False),
    Column("product_id", String, nullable=False),
    Column("category", String),
    Column("confidence", Float, nullable=False),
    Column("score", Float, nullable=False),
    Column("stage", String, nullable=False),
    Column("alternatives", Text, nullable=False),
    Column("sources", Text, nullable=False),
    Column("at", String, nullable=False),
    Index("tags_of_product", "product_id", "seq"),
    Index("tags_of_run", "run_id", "seq"),
)

labels = Table(
    "labels",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("product_id", String, nullable=False),
    Column("category", String, nullable=False),
    Column("source", String, nullable=False),
    Column("negative", Boolean, nullable=False),
    Column("withdrawn", Boolean, nullable=False),
    Column("text", Text, nullable=False),
    Column("run_id", Integer, ForeignKey("runs.id")),
    Column("at", String, nullable=False),
    Index("labels_of_product", "product_id", "seq"),
)


STEPS: Final[tuple[Callable[[Connection], None], ...]] = ()
"""What was changed since the first release, the oldest first. A released step is never changed; a new one goes behind it."""


def newest() -> int:
    """Return the number of today's schema: 1 for the first release, and one more for each step."""
    return 1 + len(STEPS)


def migrate(connection: Connection, version: int) -> None:
    """Bring a database of some version, 0 where it is empty, to today's schema and number."""
    if version == 0:
        metadata.create_all(connection)
        for table in metadata.sorted_tables:
            if table.name != schema.name:
                make_append_only(connection, table.name)
        connection.execute(insert(schema).values(version=newest()))
    else:
        for step in STEPS[version - 1 :]:
            step(connection)
        connection.execute(update(schema).values(version=newest()))


def make_append_only(connection: Connection, table: str) -> None:
    """Have SQLite itself refuse to change or delete what a table says."""
    if connection.dialect.name != "sqlite":
        return
    for verb in ("UPDATE", "DELETE"):
        connection.execute(
            text(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
            )
        )
