"""The index finds what a sort of all dot products finds, exactly or nearly, and is the same when it is read back.

The trap: vectors drawn by lot have no near neighbours, and no approximate index finds those; so these lie in clusters, as products do.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from fewtag.errors import ModelError
from fewtag.models.neighbours import index as index_module
from fewtag.models.neighbours.index import KINDS, NeighbourIndex

Array = npt.NDArray[np.float32]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """FAISS's threads wait for each other by spinning: small work on a busy machine takes a hundred times longer with two."""
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(before)


def clustered(n: int, dimensions: int = 32, clusters: int = 60, seed: int = 3) -> Array:
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((clusters, dimensions))
    rows = centres[generator.integers(0, clusters, n)] + 0.3 * generator.standard_normal((n, dimensions))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def brute_force(vectors: Array, queries: Array, k: int) -> npt.NDArray[np.int64]:
    return np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, :k]


def test_among_few_vectors_the_nearest_are_found_exactly() -> None:
    vectors = clustered(500)
    similarities, rows = NeighbourIndex.of(vectors).search(vectors[:50], 8)
    assert np.array_equal(rows, brute_force(vectors, vectors[:50], 8))
    np.testing.assert_allclose(similarities, np.take_along_axis(vectors[:50] @ vectors.T, rows, axis=1), atol=1e-6)


SMALL = {1: ("IVF64,SQfp16", 0.9), 3: ("IVF64,SQ8", 0.9), 4: ("IVF64,PQ192x4fs", 0.7)}
"""The kinds for many vectors, with fewer cells, and the share of the ten nearest that must be found."""


@pytest.mark.parametrize("number", SMALL)
def test_among_many_vectors_most_of_the_nearest_are_found(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, wanted = SMALL[number]
    kind = replace(KINDS[number], up_to=float("inf"), spec=spec, cells=64, probes=4)
    monkeypatch.setattr(index_module, "KINDS", (kind,))
    vectors = clustered(4000, clusters=400)  # of ten each: few bits tell products of two kinds apart, not those of one
    index = NeighbourIndex.of(vectors)
    assert kind.name in str(index)
    _, rows = index.search(vectors[:200], 10)
    truth = brute_force(vectors, vectors[:200], 10)
    recall = np.mean([len(set(found) & set(true)) / 10 for found, true in zip(rows, truth, strict=True)])
    assert recall >= wanted


@pytest.mark.parametrize(("size", "number"), [(10, 0), (4_000, 0), (4_001, 1), (50_001, 2), (400_001, 3), (3_000_001, 4)])
def test_the_size_picks_the_kind(size: int, number: int) -> None:
    index = NeighbourIndex.for_size(size, 384)
    assert index.kind == KINDS[number]
    assert str(index) == f"0 vectors of 384 dimensions, {KINDS[number].name}, on the CPU"


def test_a_row_that_is_not_there_is_minus_one() -> None:
    similarities, rows = NeighbourIndex.of(np.eye(2, dtype=np.float32)).search(np.float32([[0, 1]]), 4)
    assert rows.tolist() == [[1, 0, -1, -1]]
    assert similarities.tolist() == [[1, 0, -1, -1]]


def test_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = clustered(300)
    whole = NeighbourIndex.of(vectors).search(vectors, 5)
    monkeypatch.setattr(index_module, "BATCH", 64)
    parts = NeighbourIndex.of(vectors).search(vectors, 5)
    assert np.array_equal(whole[1], parts[1])
    np.testing.assert_allclose(whole[0], parts[0], atol=1e-6)
    assert NeighbourIndex.of(vectors).search(vectors[:0], 5)[1].shape == (0, 5)


def test_what_is_trained_on_is_drawn_from_all_and_is_no_more_than_needed() -> None:
    index = NeighbourIndex.for_size(20_000, 384, seed=5)
    sample = index.sample(20_000)
    assert len(sample) == 16 * 256
    assert len(set(sample.tolist())) == len(sample)
    assert sample.max() > 19_900 > 100 > sample.min()
    assert np.array_equal(sample, NeighbourIndex.for_size(20_000, 384, seed=5).sample(20_000))
    assert not len(NeighbourIndex.for_size(100, 384).sample(100))


@pytest.mark.parametrize("number", [0, 1])
def test_what_is_saved_and_loaded_finds_the_same_bits(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = replace(KINDS[number], up_to=float("inf"), spec=KINDS[number].spec.replace("256", "16"), cells=16 * number)
    monkeypatch.setattr(index_module, "KINDS", (kind,))
    vectors = clustered(2000)
    index = NeighbourIndex.of(vectors)
    index.save(tmp_path / "index.faiss")
    loaded = NeighbourIndex.load(tmp_path / "index.faiss")
    assert (str(loaded), len(loaded)) == (str(index), 2000)
    for one, other in zip(index.search(vectors[:99], 7), loaded.search(vectors[:99], 7), strict=True):
        assert np.array_equal(one, other)
    assert [file.name for file in tmp_path.iterdir()] == ["index.faiss"]


def test_without_faiss_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ModelError, match=r"FAISS, which is not installed -> pip install \"fewtag\[cpu\]\""):
        NeighbourIndex.for_size(10, 8)
