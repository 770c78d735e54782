"""Unknowns for the command line: listed, shown, given a name, put aside."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from uuid import UUID

from config.settings import Settings
from domain.personal_data import Author
from domain.user_errors import NoSuchUnknownError
from infra.photos.upload_requests import actor, open_client
from infra.terminal.tables import Column, Row, moment, score
from services.people.people_corrections import open_corrections
from services.unknowns.stored_unknowns import (
    StoredUnknown,
    UnknownFilter,
    find_unknown,
    list_unknowns,
)
from services.unknowns.unknown_grouping import join, part
from services.unknowns.unknown_promotion import best_pictures
from services.user_lookup import find_user
from sinks.main.database_sessions import Databases
from sinks.main.people.correction_store import CorrectionStore
from sinks.main.unknowns.unknown_corrections import NewName
from sinks.main.unknowns.unknown_regrouping import UnknownRegrouping
from sinks.stores import Stores, opened
from sinks.vector.unknowns.unknown_gallery import UnknownGallery


def _cameras(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, Sequence) else ""


UNKNOWN_COLUMNS = (
    Column("id", "unknown", whole=True, style="bold"),
    Column("visits", "visits", justify="right"),
    Column("first_seen_at", "first seen", moment),
    Column("last_seen_at", "last seen", moment),
    Column("cameras", "cameras", _cameras),
)


PROPOSAL_COLUMNS = (
    Column("kind", "proposal", style="bold"),
    Column("unknown_id", "unknown", whole=True),
    Column("other_id", "with", whole=True),
    Column("similarity", "similarity", score, justify="right"),
    Column("created_at", "since", moment),
)


async def unknown_rows(settings: Settings, wanted: UnknownFilter, limit: int) -> list[Row]:
    """Unknowns as rows of a listing, the one seen last first.

    Raises:
        StoreUnavailable: the main database is unavailable.
    """
    async with Databases(settings) as databases, databases.main() as session:
        return [_row(one) for one in await list_unknowns(session, wanted, limit)]


async def unknown_row(settings: Settings, unknown_id: UUID) -> Row:
    """One unknown; of one that was merged, the one that is left.

    Raises:
        NoSuchUnknownError: there is none.
        StoreUnavailable: the main database is unavailable.
    """
    async with Databases(settings) as databases, databases.main() as session:
        found = await find_unknown(session, unknown_id)
        if found is not None and found.merged_into is not None:
            found = await find_unknown(session, found.merged_into)
    if found is None:
        raise NoSuchUnknownError
    return _row(found)


async def promote_by_name(
    settings: Settings, unknown_id: UUID, user: str | None, email: str | None, name: str | None
) -> Row:
    """Give an unknown a name, and enrol its best faces.

    Args:
        settings: of the process.
        unknown_id: the unknown.
        user: id or e-mail address of a user that there is; None makes one.
        email: of the user that is made; None without one.
        name: of the user that is made.

    Returns:
        What was done, with the answers of the pipeline.

    Raises:
        NoSuchUnknownError: there is no such unknown.
        NoSuchUserError: there is no such user.
        UnknownIsUserError: it has become another user already.
        EmailTakenError: there is a user with this address.
        CorrectionError: it was undone before the faces were sent.
        PublishError: the broker did not accept the faces; what was done before stays.
        StoreUnavailable: a store is unavailable.
    """
    async with AsyncExitStack() as stack:
        databases = await stack.enter_async_context(Databases(settings))
        stores = await stack.enter_async_context(opened(Stores.of(settings)))
        corrections = await stack.enter_async_context(open_corrections(stores, settings))
        client = await stack.enter_async_context(open_client(settings))
        given = NewName(email=email, full_name=name)
        if user is not None:
            async with databases.main() as session:
                given = NewName(user_id=(await find_user(session, user)).id)
        done = await corrections.promote(unknown_id, given, Author(actor()))
        async with databases.main() as session:
            pictures = await best_pictures(session, stores.crops, done.unknown_id)
        answers = []
        if pictures:
            answers = await client.enrol_promoted(done.user_id, pictures, done.correction_id)
    statuses = [one.status if one else "unanswered" for one in answers]
    return asdict(done) | {"sent": len(answers), "enrolled": statuses.count("enrolled")}


async def dismiss_unknown(settings: Settings, unknown_id: UUID) -> tuple[UUID, UUID]:
    """Put an unknown aside; which one it was, and the correction, for an undo.

    Raises:
        NoSuchUnknownError: there is no such unknown.
        UnknownIsUserError: it has become a user.
        StoreUnavailable: the main database is unavailable.
    """
    async with CorrectionStore(settings.main_db) as store:
        return await store.dismiss(unknown_id, Author(actor()))


async def proposal_rows(settings: Settings, limit: int) -> list[Row]:
    """What the consolidation asks, as rows of a listing.

    Raises:
        StoreUnavailable: the main database is unavailable.
    """
    async with UnknownRegrouping(settings.main_db) as unknowns:
        return [asdict(one) for one in await unknowns.proposals(limit)]


async def join_unknowns(settings: Settings, one: UUID, other: UUID) -> UUID:
    """Make two unknowns one; the one that is left.

    Raises:
        CannotRegroupError: they were in one frame, or one of them is not open.
        StoreUnavailable: a database is unavailable.
    """
    async with (
        UnknownRegrouping(settings.main_db) as unknowns,
        UnknownGallery(settings.vector_db) as gallery,
    ):
        return await join(unknowns, gallery, one, other, Author(actor()))


async def part_unknown(settings: Settings, unknown_id: UUID, visit_ids: Sequence[UUID]) -> UUID:
    """Make visits of an unknown another one's; that one.

    Raises:
        CannotRegroupError: these are not some of its visits.
        StoreUnavailable: a database is unavailable.
    """
    async with (
        UnknownRegrouping(settings.main_db) as unknowns,
        UnknownGallery(settings.vector_db) as gallery,
    ):
        return await part(unknowns, gallery, unknown_id, visit_ids, Author(actor()))


def _row(unknown: StoredUnknown) -> Row:
    row = asdict(unknown)
    del row["merged_into"]
    return row
