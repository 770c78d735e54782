"""What an operator says about unknowns: these two are one person, or these visits are another's."""

from collections.abc import Collection, Iterable, Sequence
from uuid import UUID

from domain.decisions.grouping import Exemplar, kept_exemplars
from domain.personal_data import Author
from domain.user_errors import CannotRegroupError
from sinks.main.unknowns.unknown_regrouping import UnknownRegrouping
from sinks.vector.unknowns.unknown_gallery import UnknownGallery


async def join(
    unknowns: UnknownRegrouping, gallery: UnknownGallery, one: UUID, other: UUID, by: Author
) -> UUID:
    """Make two unknowns one, for good; the older one is left.

    Raises:
        CannotRegroupError: they were seen in one frame, or one of them is not open.
        StoreUnavailable: a database is unavailable; maintenance does the rest.
    """
    kept = await unknowns.merge(one, other, by)
    if kept is None:
        raise CannotRegroupError(
            "two people of one frame cannot be joined, nor an unknown that is not open"
        )
    await align_exemplars(unknowns, gallery, {one, other})
    return kept


async def part(
    unknowns: UnknownRegrouping,
    gallery: UnknownGallery,
    unknown_id: UUID,
    visit_ids: Sequence[UUID],
    by: Author,
) -> UUID:
    """Make visits of an unknown another one's, for good; returns that one.

    Raises:
        CannotRegroupError: the unknown is not open, or these are not some of its visits.
        StoreUnavailable: a database is unavailable; maintenance does the rest.
    """
    other = await unknowns.part(unknown_id, visit_ids, by)
    if other is None:
        raise CannotRegroupError(
            "these are not some, and not all, of the visits of an open unknown"
        )
    await align_exemplars(unknowns, gallery, {unknown_id, other})
    return other


async def align_exemplars(
    unknowns: UnknownRegrouping, gallery: UnknownGallery, unknown_ids: Collection[UUID]
) -> set[UUID]:
    """Have the templates of unknowns follow the rows of their visits; harmless if repeated.

    A visit without a row is being given to its unknown at this moment, and stays there. An unknown
    that was merged has no template, nor one that is a user.

    Returns:
        Those that should have a template and have none: of a part, the template was made of none of
        its visits. Maintenance makes one.

    Raises:
        StoreUnavailable: a database is unavailable.
    """
    bare = set(unknown_ids)
    for model in await gallery.models():
        async with gallery.locked(model) as locked:
            # Those of a user are set aside (`UnknownTemplates`), not given to others.
            names = set(unknown_ids) - await unknowns.promoted(unknown_ids)
            before = {name: await locked.exemplars(name) for name in sorted(names)}
            visits = {one.visit_id for each in before.values() for one in each}
            members = await unknowns.members(visits)
            heirs = await unknowns.heirs({*unknown_ids, *members.values()})
            after: dict[UUID, list[Exemplar]] = {name: [] for name in before}
            for owner, exemplars in before.items():
                for exemplar in exemplars:
                    of_visit = members.get(exemplar.visit_id, owner)
                    heir = heirs.get(of_visit, of_visit)
                    if heir is not None:
                        after.setdefault(heir, []).append(exemplar)
            for owner, exemplars in after.items():
                there = before.get(owner)
                added = [] if there is not None else await locked.exemplars(owner)
                if _visits(exemplars) != _visits(there or ()):
                    await locked.write(owner, kept_exemplars([*exemplars, *added]))
            bare -= {name for name in bare if heirs.get(name) != name or after[name]}
    for name in sorted(set(unknown_ids) - bare):
        await unknowns.applied(name)
    return bare


def _visits(exemplars: Iterable[Exemplar]) -> set[UUID]:
    return {exemplar.visit_id for exemplar in exemplars}
