"""Found visits next to those that were expected. Pure.

A found visit is of the person who has most of its faces. It matches an expected visit of that
person if both overlap in at least half of the shorter one; each counts once.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

#: The least share of the shorter visit.
OVERLAP = 0.5


@dataclass(frozen=True, slots=True)
class ExpectedVisit:
    """A person's stay at a camera, by the labels; times in seconds."""

    person: str
    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class FoundVisit:
    """A visit, as it was announced.

    Attributes:
        faces: the person that each of its faces shows by the labels; None: no labelled person.
        begin: time of the first face, in seconds.
        end: time of the last.
        named: the person that the visit is announced as in the end; None: unknown.
        waited: seconds from the first face to the announcement.
        changes: how often it was announced with another identity than before.
    """

    faces: Sequence[str | None]
    begin: float
    end: float
    named: str | None = None
    waited: float = 0.0
    changes: int = 0

    @property
    def person(self) -> str | None:
        """Who has most of its faces."""
        counted = Counter(self.faces).most_common()
        return min(counted, key=lambda one: (-one[1], one[0] or ""))[0] if counted else None

    @property
    def foreign(self) -> int:
        """How many of its faces are of other people."""
        return sum(face != self.person for face in self.faces)


@dataclass(frozen=True, slots=True)
class Score:
    """What came out for some scenes.

    Attributes:
        expected: visits by the labels.
        found: announced visits.
        matched: pairs of both.
        most: the largest number of found visits of a person during one expected visit.
        split: found visits that have faces of a person beyond those expected of this person.
        swapped: found visits with faces of several people.
        foreign: faces in the visits of other people.
        faces: faces in visits.
        unplaced: faces in no visit.
        misnamed: found visits announced as another person.
        named: matched visits of enrolled people that are announced as this person.
        nameable: matched visits of enrolled people.
        changes: announcements of another identity than before.
        waited: of each matched visit, seconds from the first face to the announcement.
    """

    expected: int = 0
    found: int = 0
    matched: int = 0
    most: int = 0
    split: int = 0
    swapped: int = 0
    foreign: int = 0
    faces: int = 0
    unplaced: int = 0
    misnamed: int = 0
    named: int = 0
    nameable: int = 0
    changes: int = 0
    waited: Sequence[float] = field(default_factory=tuple)

    def values(self) -> dict[str, float]:
        """The figures by name, as a report has them."""
        waited = [float(one) for one in np.quantile(self.waited or [0.0], (0.5, 0.95))]
        values: dict[str, float] = {
            "expected": self.expected,
            "found": self.found,
            "matched": self.matched,
            "precision": self.matched / max(1, self.found),
            "recall": self.matched / max(1, self.expected),
            "most_per_stay": self.most,
            "split": self.split,
            "swapped": self.swapped,
            "foreign_faces": self.foreign / max(1, self.faces),
            "unplaced_faces": self.unplaced / max(1, self.faces + self.unplaced),
            "misnamed": self.misnamed,
            "changes": self.changes,
            "started_p50": waited[0],
            "started_p95": waited[1],
        }
        if self.nameable:
            values["named"] = self.named / self.nameable
        return values


def score(
    expected: Sequence[ExpectedVisit],
    found: Sequence[FoundVisit],
    enrolled: Iterable[str] = (),
    unplaced: int = 0,
) -> Score:
    """Compare the visits of one scene.

    Args:
        expected: by the labels.
        found: what was announced.
        enrolled: the people who have a template.
        unplaced: faces that belong to no visit.
    """
    known = set(enrolled)
    pairs = _pairs(expected, found)
    during = [sum(_fits(one, other) for other in found) for one in expected]
    named = [one for _, one in pairs if one.person in known]
    return Score(
        expected=len(expected),
        found=len(found),
        matched=len(pairs),
        most=max(during, default=0),
        split=_split(expected, found),
        swapped=sum(one.foreign > 0 for one in found),
        foreign=sum(one.foreign for one in found),
        faces=sum(len(one.faces) for one in found),
        unplaced=unplaced,
        misnamed=sum(one.named is not None and one.named != one.person for one in found),
        named=sum(one.named == one.person for one in named),
        nameable=len(named),
        changes=sum(one.changes for one in found),
        waited=[one.waited for _, one in pairs],
    )


def together(scores: Sequence[Score]) -> Score:
    """The score of several scenes."""
    return Score(
        expected=sum(one.expected for one in scores),
        found=sum(one.found for one in scores),
        matched=sum(one.matched for one in scores),
        most=max((one.most for one in scores), default=0),
        split=sum(one.split for one in scores),
        swapped=sum(one.swapped for one in scores),
        foreign=sum(one.foreign for one in scores),
        faces=sum(one.faces for one in scores),
        unplaced=sum(one.unplaced for one in scores),
        misnamed=sum(one.misnamed for one in scores),
        named=sum(one.named for one in scores),
        nameable=sum(one.nameable for one in scores),
        changes=sum(one.changes for one in scores),
        waited=[second for one in scores for second in one.waited],
    )


def expected_visits(
    sightings: Iterable[tuple[float, str]], return_within: float
) -> list[ExpectedVisit]:
    """The visits of people who are seen at these moments; who is back in time continues one.

    Args:
        sightings: seconds and person, in the order of time.
        return_within: seconds.
    """
    open_ones: dict[str, ExpectedVisit] = {}
    over: list[ExpectedVisit] = []
    for at, person in sightings:
        before = open_ones.get(person)
        if before is not None and at - before.end <= return_within:
            open_ones[person] = ExpectedVisit(person, before.begin, at)
            continue
        if before is not None:
            over.append(before)
        open_ones[person] = ExpectedVisit(person, at, at)
    return sorted([*over, *open_ones.values()], key=lambda one: (one.begin, one.person))


def _pairs(
    expected: Sequence[ExpectedVisit], found: Sequence[FoundVisit]
) -> list[tuple[ExpectedVisit, FoundVisit]]:
    """Pairs of one person that overlap, those that have most in common first."""
    possible = sorted(
        (
            (-_common(one, other), number, index)
            for number, one in enumerate(expected)
            for index, other in enumerate(found)
            if _fits(one, other)
        ),
    )
    chosen: dict[int, int] = {}
    for _, number, index in possible:
        if number not in chosen and index not in chosen.values():
            chosen[number] = index
    return [(expected[number], found[index]) for number, index in chosen.items()]


def _split(expected: Sequence[ExpectedVisit], found: Sequence[FoundVisit]) -> int:
    """How many visits people are part of, beyond those that are expected of each."""
    due = Counter(one.person for one in expected)
    seen = Counter(person for one in found for person in set(one.faces))
    return sum(max(0, seen[person] - count) for person, count in due.items())


def _fits(one: ExpectedVisit, other: FoundVisit) -> bool:
    shorter = min(one.end - one.begin, other.end - other.begin)
    return one.person == other.person and _common(one, other) >= OVERLAP * shorter


def _common(one: ExpectedVisit, other: FoundVisit) -> float:
    """Seconds that both have in common; below 0 where they have none."""
    return min(one.end, other.end) - max(one.begin, other.begin)
