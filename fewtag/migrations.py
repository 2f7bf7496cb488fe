"""The ledger's schema, as the list of steps that led to it; a step that was released is never changed, a new one is put behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlalchemy import Column, Connection, Float, ForeignKey, Index, Integer, MetaData, String, Table, Text, UniqueConstraint, text

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
    Column("at", String, nullable=False),
    Index("labels_of_product", "product_id", "seq"),
)


def _first(connection: Connection) -> None:
    """Make the tables, and have SQLite itself refuse to change or delete what the ledger says."""
    metadata.create_all(connection, tables=[schema, runs, finishes, models, tags, labels])
    if connection.dialect.name != "sqlite":
        return
    for table in ("tags", "labels", "runs", "finishes", "models"):
        for verb in ("UPDATE", "DELETE"):
            connection.execute(
                text(
                    f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                    "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
                )
            )


MIGRATIONS: Final[tuple[Callable[[Connection], None], ...]] = (_first,)
