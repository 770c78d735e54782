import faiss
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.gallery.quantized_scan import CoarseCopy
from tests.unit.ml.conftest import decoded, unit_vectors


@given(
    dimension=st.sampled_from([2, 7, 32, 128]),
    steps=st.lists(
        st.tuples(st.sampled_from(["append", "overwrite", "drop"]), st.integers(0, 10**6)),
        max_size=12,
    ),
)
def test_any_history_leaves_the_codes_of_what_is_there(dimension, steps):
    copy, expected = CoarseCopy(dimension), []
    for kind, number in steps:
        vectors = unit_vectors(number % 40 + 1, dimension, number)
        if kind == "append":
            copy.append(vectors)
            expected += list(vectors)
        elif expected and kind == "overwrite":
            slot = number % len(expected)
            copy.overwrite(np.array([slot]), vectors[:1])
            expected[slot] = vectors[0]
        elif expected:
            slot = number % len(expected)
            copy.erase(slot, len(copy) - 1)
            copy.shrink(len(copy) - 1)
            expected[slot] = expected[-1]
            expected.pop()
    fresh = CoarseCopy(dimension)
    fresh._rotation = copy._rotation
    fresh.append(np.array(expected, np.float32).reshape(-1, dimension))
    assert len(copy) == len(fresh) == len(expected)
    apart = np.rint((decoded(copy) - decoded(fresh)) @ copy._rotation / copy._step)
    # A vector turned alone and among others is summed in another order, which may take a component
    # across the edge of its step.
    assert np.abs(apart).max(initial=0) <= 1
    assert np.count_nonzero(apart) <= 3
    assert set(copy.strays) == set(fresh.strays)


@pytest.mark.parametrize("dimension", [128, 512])
def test_faiss_reads_the_codes_as_they_were_written(dimension):
    vectors, probes = unit_vectors(1000, dimension, 1), unit_vectors(5, dimension, 2)
    copy = CoarseCopy(dimension)
    copy.append(vectors)
    approximate, slots = copy.search(probes, 1000)
    meant = probes @ decoded(copy).T
    np.testing.assert_allclose(
        approximate, np.take_along_axis(meant, slots, 1), atol=0.01
    )  # the scan's tables hold bytes
    assert isinstance(copy._index, faiss.IndexPQFastScan)


@pytest.mark.parametrize("dimension", [128, 512])
def test_nothing_outside_is_more_similar_than_the_bound(dimension):
    random = np.random.default_rng(3)
    vectors = unit_vectors(20_000, dimension, 4)
    # Relatives of the probes, at every cosine: those are what a bound may be broken by.
    probes = unit_vectors(50, dimension, 5)
    near = probes[random.integers(0, 50, 5000)]
    vectors[:5000] = near + random.uniform(0.2, 3, (5000, 1)) * unit_vectors(5000, dimension, 6)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    copy = CoarseCopy(dimension)
    copy.append(vectors)
    strays = set(copy.strays.tolist())
    assert len(strays) < 0.01 * len(vectors)
    approximate, slots = copy.search(probes, 100)
    for probe, near_ones, inside in zip(probes, approximate, slots, strict=True):
        outside = np.ones(len(vectors), bool)
        outside[inside] = False
        outside[list(strays)] = False
        possible = copy.at_most(probe, near_ones)
        covered = ~np.isin(inside, list(strays))
        assert (vectors[inside] @ probe <= possible)[covered].all()
        bound = possible[-1]
        highest = (vectors[outside] @ probe).max()
        assert highest <= bound
        assert bound < highest + 0.2  # and it says something


def test_a_shared_scan_finds_what_one_thread_finds():
    vectors, probes = unit_vectors(3000, 128, 1), unit_vectors(40, 128, 2)
    alone, shared = CoarseCopy(128), CoarseCopy(128, shared_from=0)
    shared._rotation = alone._rotation
    alone.append(vectors)
    shared.append(vectors)
    for one, other in zip(alone.search(probes, 20), shared.search(probes, 20), strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_erased_vector_leaves_no_code_in_memory():
    copy = CoarseCopy(128)
    copy.append(unit_vectors(64, 128))  # two whole blocks
    codes = copy._index.codes
    memory = faiss.rev_swig_ptr(codes.get(), codes.size())
    assert np.count_nonzero(memory) > 0.9 * len(memory)
    for last in reversed(range(64)):
        copy.erase(last // 2, last)
    assert not memory.any()  # before `shrink`, which only forgets where codes were
    copy.shrink(0)
    assert len(copy) == 0
    assert not len(copy.strays)


def test_slots_far_into_the_codes_can_be_written():
    # The packer's own check of a place counts bytes where slots are meant: 1,024 of dimension 2.
    vectors, newcomers = unit_vectors(5000, 2, 1), unit_vectors(1, 2, 2)
    copy, fresh = CoarseCopy(2), CoarseCopy(2)
    fresh._rotation = copy._rotation
    copy.append(vectors)
    copy.overwrite(np.array([4990]), newcomers)
    copy.erase(4980, 4999)
    copy.shrink(4999)
    vectors[4990], vectors[4980] = newcomers[0], vectors[4999]
    fresh.append(vectors[:4999])
    np.testing.assert_array_equal(decoded(copy), decoded(fresh))
