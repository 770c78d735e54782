"""The verdict on the messages of visits: of each visit one story, which ends as its row says. Pure.

How often a visit ends and goes on depends on the clocks of the workers, so the number of messages
is not compared with anything; their order is, and the last one.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from uuid import UUID

from msgspec import structs

from domain.visit_events import Visit, VisitReason, VisitState, VisitType
from tests.chaos.accounting import Flaw
from tests.chaos.visits.visit_evidence import Announcement

#: What a row has and its last message need not have: later faces may have been late. What persons
#: have said of a visit is judged by `tests.chaos.corrections`.
_CURRENT = {"faces", "late", "announced_at", "crop_key", "correction_id", "supersedes"}
_LABEL = {"user_id", "similarity"}


def announcement_flaws(
    announcements: Sequence[Announcement],
    rows: Mapping[UUID, Visit],
    corrected: Collection[UUID] = frozenset(),
) -> Iterator[Flaw]:
    """Flaws of the messages.

    Args:
        announcements: all messages, in the order of the log.
        rows: all visits, by id.
        corrected: visits of which a person has said whose they are.
    """
    stories: dict[UUID, dict[int, Announcement]] = {visit_id: {} for visit_id in rows}
    for one in announcements:
        visit = one.visit
        if one.id != f"{visit.visit_id}/{visit.revision}" or one.key != visit.camera_id:
            yield Flaw("wrong", f"message {one.id} with the key {one.key} is of another visit")
        story = stories.setdefault(visit.visit_id, {})
        first = story.setdefault(visit.revision, one)
        if first.digest != one.digest:
            yield Flaw("doubled", f"two different messages {one.id}")
    for visit_id, story in stories.items():
        if visit_id in rows:
            yield from _of_visit(rows[visit_id], story, is_corrected=visit_id in corrected)
        else:
            yield Flaw("doubled", f"{len(story)} messages of visit {visit_id}, which has no row")


def _of_visit(
    row: Visit, story: Mapping[int, Announcement], *, is_corrected: bool
) -> Iterator[Flaw]:
    """Flaws of the messages of a visit, by revision in the order in which they came."""
    name, revisions = f"visit {row.visit_id}", set(range(1, row.revision + 1))
    if missing := revisions - story.keys():
        yield Flaw("lost", f"{name} lacks its messages {listed(missing)}")
    if more := story.keys() - revisions:
        yield Flaw("doubled", f"{name} has messages {listed(more)} after its last")
    if list(story) != sorted(story):
        yield Flaw("wrong", f"the messages of {name} came as {list(story)}")
    if story and not missing:
        yield from _of_story([story[number] for number in sorted(story)])
    if (last := story.get(row.revision)) is not None:
        yield from _last_words(row, last.visit, _LABEL if is_corrected else set())


def _of_story(story: Sequence[Announcement]) -> Iterator[Flaw]:
    """A visit starts once, is updated while it goes on, and goes on after an end if one returns.

    One that has ended may also become a part of another one.
    """
    state = VisitState.PENDING
    for one in story:
        match state, one.type, one.visit.reason:
            case VisitState.PENDING, VisitType.STARTED, None:
                after = VisitState.OPEN
            case VisitState.OPEN, VisitType.UPDATED, reason if reason != VisitReason.RETURNED:
                after = VisitState.OPEN
            case VisitState.OPEN, VisitType.ENDED, _:
                after = VisitState.ENDED
            case VisitState.ENDED, VisitType.UPDATED, VisitReason.RETURNED:
                after = VisitState.OPEN
            case (
                VisitState.ENDED,
                VisitType.UPDATED,
                VisitReason.MERGED | VisitReason.CORRECTED,
            ):
                after = VisitState.ENDED
            case _:
                what = f"message {one.id} is {one.type} ({one.visit.reason}) of {state}"
                yield Flaw("doubled" if one.type == VisitType.STARTED else "wrong", what)
                return
        if one.visit.state is not after:
            yield Flaw("wrong", f"message {one.id} is {one.type} and says {one.visit.state}")
        state = after
    if state is not VisitState.ENDED:
        yield Flaw("stuck", f"the last message of visit {story[-1].visit.visit_id} is no end")


def _last_words(row: Visit, last: Visit, left_out: Collection[str]) -> Iterator[Flaw]:
    stored, announced = structs.asdict(row), structs.asdict(last)
    for field in sorted(stored.keys() - _CURRENT - set(left_out)):
        if stored[field] != announced[field]:
            change = f"{field} is {announced[field]}, in the row {stored[field]}"
            yield Flaw("wrong", f"the last message of visit {row.visit_id}: {change}")
    if last.faces - last.late != row.faces - row.late:
        change = f"{last.faces} faces, {last.late} late, in the row {row.faces}, {row.late} late"
        yield Flaw("wrong", f"the last message of visit {row.visit_id} counts {change}")


def listed(things: Collection[object]) -> str:
    """These things in order, as text."""
    return ", ".join(sorted(map(str, things)))
