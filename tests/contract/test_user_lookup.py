"""Which user a command means, by id, address or external id."""

import asyncio
from uuid import UUID, uuid4

import pytest

from domain.user_errors import ExternalIdTakenError, NoSuchUserError, UnnamedUserError
from services.user_lookup import find_user
from services.users import find_or_make_user, make_user
from sinks.main.database_sessions import Databases


@pytest.fixture
async def sessions(prepared):
    async with Databases(prepared) as databases:
        yield databases.main


@pytest.fixture
def made(sessions):
    async def make(email=None, full_name=None, **fields) -> UUID:
        async with sessions.begin() as session:
            return (await make_user(session, "test", email, full_name, **fields)).id

    return make


@pytest.fixture
def found(sessions):
    async def find(named) -> UUID:
        async with sessions() as session:
            return (await find_user(session, named)).id

    return find


async def test_a_user_is_found_by_id_address_and_external_id(made, found):
    mark = uuid4().hex
    user = await made(f"{mark}@example.com", "Ada", external_id=f"Staff {mark}")
    for named in (str(user), f" {mark}@EXAMPLE.com ", f" Staff {mark} "):
        assert await found(named) == user
    for named in (f"staff {mark}", mark, str(uuid4())):
        with pytest.raises(NoSuchUserError, match="there is no user"):
            await found(named)


async def test_an_external_id_may_look_like_an_id(made, found):
    own = str(uuid4())
    user = await made(external_id=own)
    assert await found(own) == user


async def test_what_names_two_users_names_none(made, found):
    address = f"{uuid4().hex}@example.com"
    one, other = await made(address), await made(external_id=address)
    with pytest.raises(NoSuchUserError, match="several users") as caught:
        await found(address)
    assert {str(one), str(other)} <= set(str(caught.value).replace(",", "").split())
    # The address and the external id of one user may be the same.
    both = f"{uuid4().hex}@example.com"
    user = await made(both, external_id=both)
    assert await found(both) == user


async def test_a_user_without_any_name_is_not_made(made):
    with pytest.raises(UnnamedUserError):
        await made(metadata={"floor": 3})


async def test_one_user_is_made_of_two_enrolments_at_once(sessions):
    own = f"visitor-{uuid4().hex}"

    async def enrol() -> UUID:
        while True:
            try:
                async with sessions.begin() as session:
                    user, _ = await find_or_make_user(
                        session, "test", None, "Guest", external_id=own
                    )
                    return user.id
            except ExternalIdTakenError:
                continue

    assert len(set(await asyncio.gather(*(enrol() for _ in range(4))))) == 1
