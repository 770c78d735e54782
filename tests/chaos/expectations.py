"""Which events are published, and their expected outcomes: pure, the same for the same seed."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Expect(StrEnum):
    """The one outcome that an event must have."""

    KNOWN = "a known face"
    UNKNOWN = "an unknown face"
    NO_FACE = "no face"
    DEAD_LETTER = "a dead letter"
    ENROLLED = "an enrolment"
    REFUSED = "a refused enrolment"
    FOUND = "a search that finds"
    NOT_FOUND = "a search that does not find"


#: The form of a message: with its image; with the address of its image; without headers.
Form = Literal["inline", "claim", "bare"]

#: Number of events of each kind and form in a thousand.
SHARES: Mapping[tuple[Expect, Form], int] = {
    (Expect.KNOWN, "inline"): 330,
    (Expect.KNOWN, "claim"): 60,
    (Expect.KNOWN, "bare"): 60,
    (Expect.UNKNOWN, "inline"): 270,
    (Expect.UNKNOWN, "claim"): 40,
    (Expect.NO_FACE, "inline"): 60,
    (Expect.NO_FACE, "bare"): 20,
    (Expect.DEAD_LETTER, "inline"): 40,
    (Expect.DEAD_LETTER, "bare"): 10,
    (Expect.DEAD_LETTER, "claim"): 10,
    (Expect.ENROLLED, "inline"): 30,
    (Expect.REFUSED, "inline"): 10,
    (Expect.FOUND, "inline"): 30,
    (Expect.NOT_FOUND, "inline"): 30,
}
UPLOADS = frozenset({Expect.ENROLLED, Expect.REFUSED, Expect.FOUND, Expect.NOT_FOUND})

#: Share of events with an id (all except bare messages) that are published twice.
_TWICE = 0.08
_LATEST_REPEAT = 8.0


@dataclass(frozen=True, slots=True)
class Planned:
    """An event to publish.

    Attributes:
        number: its position in the run, from 0.
        at: seconds after the first event.
        expect: its expected outcome.
        form: the form of its message.
        repeat_at: when it is published again with the same id; None for never.
        picture: selects one of the pictures of its kind.
    """

    number: int
    at: float
    expect: Expect
    form: Form
    repeat_at: float | None
    picture: int


def plan(seed: int, seconds: float, rate: float) -> list[Planned]:
    """The events of a run, at a steady rate.

    Args:
        seed: of the random generator.
        seconds: how long events are published.
        rate: events a second.
    """
    generator = random.Random(f"{seed} events")
    kinds, weights = list(SHARES), list(SHARES.values())
    events = []
    for number in range(int(seconds * rate)):
        at = number / rate
        ((expect, form),) = generator.choices(kinds, weights)
        twice = form != "bare" and expect is not Expect.DEAD_LETTER and generator.random() < _TWICE
        repeat_at = at + generator.uniform(0.0, _LATEST_REPEAT) if twice else None
        events.append(Planned(number, at, expect, form, repeat_at, generator.randrange(1 << 16)))
    return events
