"""Addresses of existing users are normalised like new ones; users are never merged."""

import unicodedata

import pytest

from domain.names.email_addresses import BadAddressError
from domain.user_errors import OtherUserError
from infra.photos.user_addresses import lines, normalise_addresses, plan
from services.users import find_or_make_user
from sinks.main.database_sessions import Databases
from tests.contract.builders import unique
from tests.stored_records import stored_user


@pytest.fixture
async def databases(prepared):
    opened = Databases(prepared)
    yield opened
    await opened.close()


@pytest.fixture
def find(databases):
    async def look(email, name=None, **options):
        async with databases.main.begin() as session:
            user, is_new = await find_or_make_user(session, "test", email, name, **options)
            return user.id, user.email, user.full_name, is_new

    return look


def nfd(text):
    return unicodedata.normalize("NFD", text)


async def test_field_07_all_spellings_of_an_address_are_one_user(find):
    mark = unique("zoë")
    made, email, _, is_new = await find(f"{nfd(mark)}@MÜLLER.example")
    assert (email, is_new) == (f"{mark}@müller.example", True)
    for spelled in (f"{mark.upper()}@müller.example", f"{mark}@xn--mller-kva.example"):
        assert (await find(spelled))[0] == made
    with pytest.raises(BadAddressError):
        await find("\u0430da@example.com")


async def test_field_07_existing_addresses_are_normalised_and_users_never_merged(
    prepared, records, find
):
    one, two = unique("josé"), unique("zoë")
    alone = await stored_user(records, f"{nfd(one)}@b.example")
    first = await stored_user(records, f"{two}@b.example")
    second = await stored_user(records, f"{nfd(two)}@b.example")
    lines = []
    await normalise_addresses(prepared.main_db, lines.append)
    assert (await records.user(alone.id)).email == f"{one}@b.example"
    assert (await records.user(second.id)).email == f"{nfd(two)}@b.example"
    (line,) = [line for line in lines if str(first.id) in line]
    assert str(second.id) in line
    assert "@" not in "".join(lines)
    # Each user is found by its own spelling, and a third spelling finds one of them.
    assert (await find(f"{nfd(two)}@b.example"))[0] == second.id
    assert (await find(f"{two}@b.example"))[0] == first.id
    assert (await find(f"{two.upper()}@b.example"))[0] == first.id
    again = []
    await normalise_addresses(prepared.main_db, again.append)
    assert [line for line in again if "written in one way" in line] == []


def test_field_07_only_unambiguous_addresses_are_changed():
    planned = plan(
        [
            ("a", "ZOË@b.de"),
            ("b", nfd("zoë@b.de")),
            ("c", "ANN@B.de"),
            ("d", "x y@z"),
            ("e", "zoë@c.de"),
        ],
        [("f", "ann@b.de")],
    )
    assert (planned.changes, planned.same) == ({}, [["c", "f"], ["a", "b"]])
    assert planned.refused == ["d"]
    assert len(lines(planned, 0)) == 3


async def test_field_07_an_address_made_from_a_name_is_not_used_for_another_name(find):
    mark = unique("anna")
    email = f"{mark}.lee@example.com"
    made, *_ = await find(email, f"{mark} Lee", name_decides=True)
    same = await find(email, f"{mark.upper()} LEE", name_decides=True)
    assert same[0] == made
    with pytest.raises(OtherUserError, match="Lee"):
        await find(email, f"{mark}-Lee", name_decides=True)
    # With the address itself, a name may be changed.
    assert (await find(email, f"{mark}-Lee"))[2] == f"{mark}-Lee"


async def test_field_07_a_user_made_from_a_name_by_an_earlier_release_is_found(find, records):
    mark = unique("old")
    old = await stored_user(records, f"{mark}.before@example.com")
    found = await find(f"{mark}.now@example.com", former_emails=[old.email])
    assert (found[0], found[3]) == (old.id, False)


async def test_field_16_a_deactivated_user_keeps_the_name(find, records):
    email = f"{unique('off')}@example.com"
    made, *_ = await find(email, "Ada")
    async with records._connection("test") as connection:
        await connection.execute("UPDATE users SET is_active = false WHERE id = $1", made)
    assert (await find(email, "Eve"))[2] == "Ada"
