"""The ledger: who said what of which product, when and on what grounds; rows are added, never changed, and the latest one holds.

A run that was killed leaves no `finishes` row; started again with the same fingerprint, it goes on behind the tags it has written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from sqlalchemy import URL, Connection, Engine, Row, case, create_engine, event, func, insert, inspect, make_url, select
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError

from fewtag import __version__
from fewtag.core import Label, Stage, Tag
from fewtag.errors import WorkspaceError
from fewtag.migrations import finishes, labels, migrate, models, newest, runs, schema, tags
from fewtag.workspace import now

SWEEPS: Final = ("bootstrap", "train")
"""The kinds of run that tag the whole catalogue."""


@dataclass(frozen=True, slots=True)
class Run:
    """One stretch of work; `resumed` says that an earlier, killed process began it."""

    id: int
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which model, which weights of it and which prompt a tag comes from."""

    name: str
    revision: str = ""
    prompt_hash: str = ""


class Count(NamedTuple):
    """How many tags name a category, how many of these are people's labels, and how sure models are of the others on average."""

    tags: int
    labelled: int
    confidence: float | None


@dataclass(frozen=True, slots=True)
class StoredTag:
    """A tag with its provenance."""

    tag: Tag
    seq: int
    run_id: int
    model: ModelIdentity
    taxonomy_version: str
    at: str


@dataclass(frozen=True, slots=True)
class StoredLabel:
    """One row of what people say: a label, with the product's text when it was given, or, `withdrawn`, the taking back of some.

    A withdrawal takes back what its source has said of the product up to now; where it names a category or a `run_id`, only what was
    said of that category or came with that run. A label's `run_id` is the import that it came with, None where it was given by hand.
    """

    label: Label
    text: str
    withdrawn: bool
    seq: int
    run_id: int | None
    at: str


class Ledger:
    """An open ledger: `with Ledger.open(workspace.ledger) as ledger`."""

    def __init__(self, engine: Engine, where: str) -> None:
        self._engine, self._where = engine, where

    @classmethod
    def open(cls, place: Path | str) -> Ledger:
        """Open the SQLite file at a path, or the database of an URL, and bring its schema up to date.

        Raises WorkspaceError where it cannot be written, is no database or was made by a newer fewtag.
        """
        ledger = cls(_engine(place), _where(place))
        try:
            with ledger._reading() as connection:
                version = _version(connection, ledger._where)
            if version < newest():
                with ledger._writing() as connection:
                    version = _version(connection, ledger._where)  # another process may just have done it
                    if version < newest():
                        migrate(connection, version)
        except BaseException:
            ledger.close()
            raise
        return ledger

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give the database back."""
        self._engine.dispose()

    def start_run(self, kind: str, fingerprint: str, taxonomy_version: str, seed: int, settings: Mapping[str, Any]) -> Run:
        """Begin a run, or go on with the latest one where that has the same fingerprint and did not finish."""
        with self._writing() as connection:
            last = connection.execute(_LAST_RUN.where(runs.c.kind == kind)).first()
            if last and last.fingerprint == fingerprint and not last.finished:
                return Run(last.id, resumed=True)
            row = {
                "kind": kind,
                "fingerprint": fingerprint,
                "taxonomy_version": taxonomy_version,
                "seed": seed,
                "settings": json.dumps(settings, sort_keys=True),
                "fewtag_version": __version__,
                "started": now(),
            }
            key = connection.execute(insert(runs).values(row)).inserted_primary_key
            assert key is not None
            return Run(key[0])

    def finish_run(self, run: Run) -> None:
        """Write down that a run has ended as it should."""
        with self._writing() as connection:
            connection.execute(insert(finishes).values(run_id=run.id, at=now()))

    def has_swept(self, fingerprint: str) -> bool:
        """Return whether the latest run over the whole catalogue has this fingerprint and has finished: then there is nothing to do."""
        last = self.last_run(*SWEEPS)
        return last is not None and last.fingerprint == fingerprint and last.finished is not None

    def tagged_count(self, run: Run) -> int:
        """Return how many tags a run has written; they are written in the order of the catalogue, so this is where it goes on."""
        with self._reading() as connection:
            return int(connection.execute(select(func.count()).where(tags.c.run_id == run.id)).scalar_one())

    def add_tags(self, run: Run, model: ModelIdentity, batch: Sequence[Tag]) -> None:
        """Append tags, all or none of them."""
        with self._writing() as connection:
            model_id = _id_of_model(connection, model)
            at = now()
            if batch:
                connection.execute(insert(tags), [_row(tag) | {"run_id": run.id, "model_id": model_id, "at": at} for tag in batch])

    def add_labels(self, batch: Sequence[tuple[Label, str]], run: Run | None = None) -> None:
        """Append what people say, each label with its product's text; all of it or none. `run` is the import that it comes with."""
        self._add_label_rows([_label_row(label, text, False, run) for label, text in batch])

    def withdraw_labels(self, batch: Sequence[Label], run: Run | None = None) -> None:
        """Append withdrawals: of all that a label's source has said of its product (of its category, unless that is empty; in `run`)."""
        self._add_label_rows([_label_row(label, "", True, run) for label in batch])

    def label_rows(self) -> list[StoredLabel]:
        """Return all that people have said and taken back, the oldest first; `labels.standing` tells what holds of it."""
        with self._reading() as connection:
            return [_stored_label(row) for row in connection.execute(select(labels).order_by(labels.c.seq))]

    def history(self, product_id: str) -> list[StoredTag]:
        """Return every tag that a product has had, the newest first."""
        with self._reading() as connection:
            query = _PROVENANCE.where(tags.c.product_id == product_id).order_by(tags.c.seq.desc())
            return [_stored(row) for row in connection.execute(query)]

    def latest(self, but: Stage | None = None) -> Iterator[StoredTag]:
        """Yield the tag that holds for each product, in the order in which they were written, or would hold but for those of a stage."""
        with self._reading() as connection:
            query = _PROVENANCE.where(tags.c.seq.in_(_LATEST.where(tags.c.stage != but) if but else _LATEST)).order_by(tags.c.seq)
            for row in connection.execution_options(yield_per=10_000).execute(query):
                yield _stored(row)

    def tagged_by(self, run: Run) -> list[str]:
        """Return the ids of the products that a run has tagged, in its order."""
        with self._reading() as connection:
            return list(connection.execute(select(tags.c.product_id).where(tags.c.run_id == run.id).order_by(tags.c.seq)).scalars())

    def written_by(self, run: Run) -> list[StoredTag]:
        """Return the tags that a run has written, in its order, with their provenance."""
        with self._reading() as connection:
            return [_stored(row) for row in connection.execute(_PROVENANCE.where(tags.c.run_id == run.id).order_by(tags.c.seq))]

    def counts(self) -> dict[str | None, Count]:
        """Return how many latest tags name each category; None stands for those that abstain."""
        with self._reading() as connection:
            is_label = tags.c.stage == "label"
            figures = func.count(), func.count(case((is_label, 1))), func.avg(case((~is_label, tags.c.confidence)))
            query = select(tags.c.category, *figures).where(tags.c.seq.in_(_LATEST)).group_by(tags.c.category)
            return {category: Count(*found) for category, *found in connection.execute(query)}

    def voices(self) -> list[tuple[str, str, int]]:
        """Return which stage and model said how many of the tags that hold, the most first; labels are no model's."""
        with self._reading() as connection:
            count, model = func.count().label("tags"), case((tags.c.stage == "label", ""), else_=models.c.name).label("model")
            query = select(tags.c.stage, model, count).join(models).where(tags.c.seq.in_(_LATEST))
            return [tuple(row) for row in connection.execute(query.group_by(tags.c.stage, model).order_by(count.desc()))]

    def kind_of(self, run_id: int) -> str:
        """Return which kind of run has this number; empty where none has."""
        with self._reading() as connection:
            return str(connection.execute(select(runs.c.kind).where(runs.c.id == run_id)).scalar() or "")

    def last_run(self, *kinds: str) -> Row[Any] | None:
        """Return the newest run (of these kinds), with `finished`, None while it is under way; None where there is none."""
        with self._reading() as connection:
            return connection.execute(_LAST_RUN.where(runs.c.kind.in_(kinds)) if kinds else _LAST_RUN).first()

    def _add_label_rows(self, rows: Sequence[dict[str, Any]]) -> None:
        if rows:
            at = now()
            with self._writing() as connection:
                connection.execute(insert(labels), [row | {"at": at} for row in rows])

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._told(), self._engine.begin() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._told(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn the database's refusals into WorkspaceErrors."""
        try:
            yield
        except DatabaseError as error:
            said = str(error.orig)
            problem, mend = next(
                (told for words, told in _REFUSALS.items() if words in said), (f"the ledger fails: {said}", "see the database")
            )
            if isinstance(error, OperationalError) or "not a database" in said or "malformed" in said:
                raise WorkspaceError(problem, mend=mend, where=self._where) from error
            raise


_REFUSALS = {
    "database or disk is full": ("the disk is full", "free some space and run the same command again: it goes on where it stopped"),
    "disk I/O error": ("the disk cannot be written", "check it and run the same command again: it goes on where it stopped"),
    "readonly database": ("the ledger is read-only", "name a workspace that can be written with --workspace"),
    "unable to open": ("the ledger cannot be opened", "name a workspace that can be written with --workspace"),
    "not a database": ("this file is no ledger", "move it away and bootstrap again"),
    "malformed": ("the ledger is damaged", "restore it from a backup, or move it away and bootstrap again"),
    "database is locked": ("another program holds the ledger", "wait for it to end"),
}

# The catalogue is what the last sweep that finished has tagged (the last at all, while none has): a product that has left it keeps
# its history, and is counted no more.
_SWEEPS = select(func.max(runs.c.id)).where(runs.c.kind.in_(SWEEPS))
_LAST_SWEEP = func.coalesce(_SWEEPS.where(runs.c.id.in_(select(finishes.c.run_id))).scalar_subquery(), _SWEEPS.scalar_subquery())
_CATALOGUE = select(tags.c.product_id).where(tags.c.run_id == _LAST_SWEEP)
_LATEST = select(func.max(tags.c.seq)).where(tags.c.product_id.in_(_CATALOGUE)).group_by(tags.c.product_id)
_LAST_RUN = select(runs, finishes.c.at.label("finished")).outerjoin(finishes).order_by(runs.c.id.desc()).limit(1)
_PROVENANCE = select(tags, models.c.name, models.c.revision, models.c.prompt_hash, runs.c.taxonomy_version).join(models).join(runs)


def _engine(place: Path | str) -> Engine:
    try:
        engine = create_engine(URL.create("sqlite", database=str(place)) if isinstance(place, Path) else make_url(place))
    except ArgumentError:
        mend = "write it as postgresql://user@host/database"
        raise WorkspaceError("the address of the ledger is no database URL", mend=mend) from None
    except ImportError as error:
        raise WorkspaceError(f"the ledger's database driver '{error.name}' is not installed", mend=f"pip install {error.name}") from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _where(place: Path | str) -> str:
    """Name the ledger in errors, which everybody sees: without the password that an URL may hold, here or there."""
    return str(place) if isinstance(place, Path) else make_url(place).set(query={}).render_as_string(hide_password=True)


def _prepare_sqlite(connection: Any, _: Any) -> None:
    # Python's driver would begin transactions itself, and only before rows change: a migration would not be one whole.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=5000"):
        connection.execute(f"PRAGMA {pragma}")


def _version(connection: Connection, where: str) -> int:
    """Return the number of the database's schema, 0 for none; raises WorkspaceError where it is of a newer fewtag."""
    version = connection.execute(select(schema.c.version)).scalar() or 0 if inspect(connection).has_table("schema") else 0
    if version > newest():
        problem = f"the ledger was made by a newer fewtag (its schema is {version}, this one knows {newest()})"
        raise WorkspaceError(problem, mend="upgrade fewtag", where=where)
    return version


def _id_of_model(connection: Connection, model: ModelIdentity) -> int:
    """Return the model's row, and write it where it is new."""
    columns = {"name": model.name, "revision": model.revision, "prompt_hash": model.prompt_hash}
    found = connection.execute(select(models.c.id).filter_by(**columns)).scalar()
    if found is not None:
        return int(found)
    key = connection.execute(insert(models).values(columns)).inserted_primary_key
    assert key is not None
    return int(key[0])


def _row(tag: Tag) -> dict[str, Any]:
    return {
        "product_id": tag.product_id,
        "category": tag.category,
        "confidence": tag.confidence,
        "score": tag.score,
        "stage": tag.stage,
        "alternatives": json.dumps([[category, round(share, 4)] for category, share in tag.alternatives]),
        "sources": json.dumps([[product_id, round(similarity, 4)] for product_id, similarity in tag.sources]),
    }


def _stored(row: Row[Any]) -> StoredTag:
    alternatives, sources = (tuple((name, share) for name, share in json.loads(each)) for each in (row.alternatives, row.sources))
    tag = Tag(row.product_id, row.category, row.confidence, row.stage, alternatives, row.score, sources)
    return StoredTag(tag, row.seq, row.run_id, ModelIdentity(row.name, row.revision, row.prompt_hash), row.taxonomy_version, row.at)


def _label_row(label: Label, text: str, withdrawn: bool, run: Run | None) -> dict[str, Any]:
    return {
        "product_id": label.product_id,
        "category": label.category,
        "source": label.source,
        "negative": label.negative,
        "withdrawn": withdrawn,
        "text": text,
        "run_id": run.id if run else None,
    }


def _stored_label(row: Row[Any]) -> StoredLabel:
    label = Label(row.product_id, row.category, row.source, row.negative)
    return StoredLabel(label, row.text, row.withdrawn, row.seq, row.run_id, row.at)
