"""Enrolling from the command line: who is made, who stays, and what the audit trail says."""

from uuid import uuid4

import pytest
from sqlalchemy import select

from infra.photos.upload_requests import actor
from sinks.main.database_sessions import Databases
from sinks.main.schema import AuditEntry
from tests.end_to_end import photos
from tests.stored_records import stored_user, user_by_email


@pytest.fixture
async def trail(prepared):
    """Actions on a user, in their order."""
    databases = Databases(prepared)

    async def read(user_id):
        async with databases.main() as session:
            entries = await session.scalars(
                select(AuditEntry)
                .where(AuditEntry.target == f"user:{user_id}")
                .order_by(AuditEntry.id)
            )
            found = entries.all()
        assert {entry.actor for entry in found} == {actor()}
        return [entry.action for entry in found]

    yield read
    await databases.close()


@pytest.fixture
def files(tmp_path):
    def write(*contents):
        paths = [tmp_path / f"{number}.jpg" for number in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
        return paths

    return write


async def test_a_new_person_is_made_with_an_audit_line_and_found_the_next_time(
    client, files, trail, records
):
    email = f"{uuid4().hex}@example.com"
    (frame, other) = photos.carphone(2, step=20)
    (one,) = await client.enrol_person(f" {email} ", None, files(frame))
    assert (one.answer.status, one.removed) == ("enrolled", False)
    (again,) = await client.enrol_person(email.upper(), "Ada", files(other))
    assert again.user.id == one.user.id
    assert (await records.user(one.user.id)).full_name == "Ada"
    assert await trail(one.user.id) == ["user.create", "face.enrol", "user.update", "face.enrol"]


async def test_a_new_user_is_removed_if_every_photo_is_refused(client, files, trail, records):
    email = f"{uuid4().hex}@example.com"
    answers = await client.enrol_person(email, None, files(photos.nobody(), photos.two_people()))
    assert [one.answer.code for one in answers] == ["no_face", "several_faces"]
    assert all(one.removed for one in answers)
    assert await user_by_email(records, email) is None
    assert await trail(answers[0].user.id) == ["user.create", "face.enrol", "user.delete"]


async def test_a_person_who_was_there_or_has_one_good_photo_stays(client, files, records):
    there = await stored_user(records, f"{uuid4().hex}@example.com")
    (one,) = await client.enrol_person(there.email, None, files(photos.nobody()))
    assert (one.answer.status, one.removed) == ("refused", False)
    assert await records.user(there.id) == there
    email = f"{uuid4().hex}@example.com"
    good, bad = await client.enrol_person(
        email, None, files(photos.carphone(1, first=30)[0], photos.nobody())
    )
    assert [good.answer.status, bad.answer.status] == ["enrolled", "refused"]
    assert (await user_by_email(records, email)).id == good.user.id


async def test_a_photo_that_cannot_be_read_creates_no_user(client, tmp_path, records):
    email = f"{uuid4().hex}@example.com"
    with pytest.raises(OSError, match="No such file"):
        await client.enrol_person(email, None, [tmp_path / "missing.jpg"])
    assert await user_by_email(records, email) is None
