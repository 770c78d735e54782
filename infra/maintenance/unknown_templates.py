"""Templates of unknowns who have visits and no template, made of what cameras saw."""

from uuid import UUID

from agents.unknowns.visit_evidence import Sightings, embedding_of
from domain.decisions.grouping import MOST_EXEMPLARS, Exemplar, GroupingPolicy
from sinks.main.unknowns.unknown_maintenance import UnknownMaintenance
from sinks.vector.unknowns.unknown_gallery import UnknownGallery


async def make_template(
    unknowns: UnknownMaintenance,
    gallery: UnknownGallery,
    sightings: Sightings,
    unknown_id: UUID,
    policy: GroupingPolicy,
) -> bool:
    """Make the template of an unknown who has none, from its latest visits.

    Args:
        unknowns: whose visits they are.
        gallery: where templates are.
        sightings: the embeddings of faces.
        unknown_id: the unknown.
        policy: the least quality of a face.

    Returns:
        Whether there is one now: the faces of the visits may be gone, or say nothing.

    Raises:
        StoreUnavailable: a database is unavailable.
    """
    model, visits = await unknowns.latest_visits(unknown_id, MOST_EXEMPLARS)
    exemplars = []
    for visit_id in visits:
        found = await embedding_of(unknowns, sightings, visit_id, policy)
        if found is not None and found[0] == model:
            exemplars.append(Exemplar(visit_id, found[1]))
    if not exemplars:
        return False
    async with gallery.locked(model) as locked:
        members = await unknowns.members([one.visit_id for one in exemplars])
        theirs = [one for one in exemplars if members.get(one.visit_id) == unknown_id]
        # A worker, or another round, may have been faster.
        if not await locked.exemplars(unknown_id):
            await locked.write(unknown_id, theirs)
    return bool(theirs)
