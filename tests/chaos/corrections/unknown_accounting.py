"""The verdict on unknowns: each visit of one is grouped, and no two faces of a frame are. Pure."""

from collections import defaultdict
from collections.abc import Iterator
from uuid import UUID

from tests.chaos.accounting import Flaw
from tests.chaos.corrections.correction_evidence import CorrectionEvidence, StoredUnknown


def unknown_flaws(evidence: CorrectionEvidence) -> Iterator[Flaw]:
    """Flaws of unknowns, of their visits and of their templates."""
    for visit_id in evidence.groupable:
        if visit_id not in evidence.members:
            yield Flaw("lost", f"visit {visit_id} of an unknown belongs to none")
    members: dict[UUID, set[UUID]] = defaultdict(set)
    for visit_id, unknown_id in evidence.members.items():
        members[unknown_id].add(visit_id)
        unknown, visit = evidence.unknowns.get(unknown_id), evidence.visits.get(visit_id)
        if unknown is None or visit is None:
            yield Flaw("doubled", f"visit {visit_id} of unknown {unknown_id} has no row")
        elif visit.merged:
            yield Flaw("doubled", f"visit {visit_id} was merged and belongs to {unknown_id}")
        elif unknown.state == "promoted" and visit.user_id is None:
            yield Flaw("lost", f"visit {visit_id} of {unknown_id} has not the user's name")
        elif visit.user_id not in {None, unknown.user_id}:
            yield Flaw("wrong", f"visit {visit_id} is {visit.user_id}'s and of {unknown_id}")
    for unknown_id, unknown in evidence.unknowns.items():
        yield from _of_unknown(unknown_id, unknown, members[unknown_id], evidence)
    yield from _frames(evidence)


def _of_unknown(
    unknown_id: UUID, unknown: StoredUnknown, members: set[UUID], evidence: CorrectionEvidence
) -> Iterator[Flaw]:
    name = f"unknown {unknown_id} ({unknown.state})"
    if unknown.counted != len(members):
        yield Flaw("wrong", f"{name} counts {unknown.counted} visits and has {len(members)}")
    if unknown.state == "promoted":
        # Of one whose promotion was not answered, maintenance makes up for it.
        if unknown_id in evidence.promoted and (unknown.exemplars or unknown.in_gallery):
            yield Flaw("wrong", f"{name} has a user and a template")
        return
    if more := unknown.exemplars - members:
        yield Flaw("doubled", f"the template of {name} has {len(more)} visits of others")
    if members and not (unknown.exemplars and unknown.in_gallery):
        yield Flaw("lost", f"{name} has {len(members)} visits and no template")
    if unknown.template_differs:
        yield Flaw("wrong", f"the template of {name} is not that of its visits")


def _frames(evidence: CorrectionEvidence) -> Iterator[Flaw]:
    """Two faces of one frame are two people."""
    seen: dict[tuple[object, UUID], UUID] = {}
    for face_id, face in evidence.faces.items():
        if face.visit_id is None or face.frame is None:
            continue
        unknown_id = evidence.members.get(face.visit_id)
        if unknown_id is None:
            continue
        other = seen.setdefault((face.frame, unknown_id), face_id)
        if other != face_id:
            what = f"faces {face_id} and {other} of one frame"
            yield Flaw("wrong", f"{what} are both unknown {unknown_id}")
