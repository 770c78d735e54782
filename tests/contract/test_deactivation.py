"""A suspended user is in no gallery, and returns unchanged when resumed."""

from datetime import UTC, datetime
from uuid import uuid4

import numpy as np
import pytest

from domain.personal_data import DataSubject
from domain.store_rows import EnrolStatus
from tests.contract.builders import a_vector


@pytest.fixture
async def model(vectors) -> str:
    name = f"suspension-{uuid4().hex[:6]}"
    await vectors.ensure_model(name, 8)
    return name


async def enrol(vectors, model, user, embedding):
    return await vectors.enrol(uuid4(), user, model, embedding, datetime.now(UTC))


async def now(vectors, model, user):
    changes = await vectors.changes(model, 0, 1000)
    return next(change for change in changes if change.user_id == user)


async def test_a_suspended_user_leaves_the_gallery_and_returns_unchanged(vectors, model):
    rng, user = np.random.default_rng(1), uuid4()
    await enrol(vectors, model, user, a_vector(rng, 8))
    before = await now(vectors, model, user)
    await vectors.suspend_user(user)
    during = await now(vectors, model, user)
    assert during.embedding is None
    assert during.revision > before.revision
    await vectors.suspend_user(user)
    assert (await now(vectors, model, user)).revision == during.revision
    await vectors.resume_user(user)
    after = await now(vectors, model, user)
    assert after.revision > during.revision
    np.testing.assert_allclose(after.embedding, before.embedding, atol=1e-6)


async def test_photos_enrolled_during_a_suspension_count_after_it(vectors, model):
    rng, user = np.random.default_rng(2), uuid4()
    first, second = a_vector(rng, 8), a_vector(rng, 8)
    await enrol(vectors, model, user, first)
    await vectors.suspend_user(user)
    assert (await enrol(vectors, model, user, second)).status is EnrolStatus.ENROLLED
    assert (await now(vectors, model, user)).embedding is None
    await vectors.resume_user(user)
    mean = first + second
    np.testing.assert_allclose(
        (await now(vectors, model, user)).embedding, mean / np.linalg.norm(mean), atol=1e-6
    )


async def test_a_user_without_templates_can_be_suspended(vectors, model):
    rng, user = np.random.default_rng(3), uuid4()
    await vectors.suspend_user(user)
    await enrol(vectors, model, user, a_vector(rng, 8))
    assert (await now(vectors, model, user)).embedding is None


async def test_a_suspended_user_can_be_erased(vectors, model):
    rng, user = np.random.default_rng(4), uuid4()
    await enrol(vectors, model, user, a_vector(rng, 8))
    await vectors.suspend_user(user)
    assert (await vectors.erase(DataSubject(user))).counts["templates"] == 1
    await vectors.resume_user(user)
    assert (await now(vectors, model, user)).embedding is None
    again = await enrol(vectors, model, user, a_vector(rng, 8))
    assert again.status is EnrolStatus.ERASED


async def test_other_users_are_not_changed(vectors, model):
    rng, one, other = np.random.default_rng(5), uuid4(), uuid4()
    await enrol(vectors, model, one, a_vector(rng, 8))
    await enrol(vectors, model, other, a_vector(rng, 8))
    before = await now(vectors, model, other)
    await vectors.suspend_user(one)
    await vectors.resume_user(one)
    after = await now(vectors, model, other)
    assert after.revision == before.revision


async def test_field_15_templates_of_a_later_model_count_after_the_suspension(vectors, model):
    rng, user = np.random.default_rng(6), uuid4()
    await enrol(vectors, model, user, a_vector(rng, 8))
    await vectors.suspend_user(user)
    later = f"suspension-{uuid4().hex[:6]}"
    await vectors.ensure_model(later, 8)
    looks = a_vector(rng, 8)
    await enrol(vectors, later, user, looks)
    assert (await now(vectors, later, user)).embedding is None
    await vectors.resume_user(user)
    for one in (model, later):
        assert (await now(vectors, one, user)).embedding is not None
    np.testing.assert_allclose((await now(vectors, later, user)).embedding, looks, atol=1e-6)
    again = (await now(vectors, later, user)).revision
    await vectors.resume_user(user)
    assert (await now(vectors, later, user)).revision == again
