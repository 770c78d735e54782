"""What is announced about unknowns on ``people.changes``."""

from uuid import UUID, uuid5

from domain.events import NAMESPACE, utc_now
from domain.people.people_changes import PeopleChange, PeopleChangeType


def unknown_created(unknown_id: UUID) -> PeopleChange:
    """A person was seen for the second time: from now on the unknown is shown."""
    return _change(PeopleChangeType.UNKNOWN_CREATED, str(unknown_id), unknown_id)


def unknown_merged(kept: UUID, merged: UUID) -> PeopleChange:
    """Two unknowns are one person; ``merged`` leads to ``kept``."""
    return _change(
        PeopleChangeType.UNKNOWN_MERGED, f"{merged}|{kept}", kept, other_unknown_id=merged
    )


def _change(
    kind: PeopleChangeType,
    name: str,
    unknown_id: UUID,
    *,
    other_unknown_id: UUID | None = None,
) -> PeopleChange:
    """A change whose identifier is derived: the same change again has the same name."""
    return PeopleChange(
        change_id=uuid5(NAMESPACE, f"{kind.value}|{name}"),
        type=kind,
        at=utc_now(),
        unknown_id=unknown_id,
        other_unknown_id=other_unknown_id,
    )
