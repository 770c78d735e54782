"""Which fault strikes what, when: pure, and the same for the same seed."""

import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "kill", "terminate", "freeze", "crash", "cut", "blackhole", "slow", "fill disk", "join", "leave"
]
WORKERS = ("detect", "identify")
SERVERS = ("kafka", "postgres", "redis", "s3")


@dataclass(frozen=True, slots=True)
class Card:
    """A fault that may be drawn.

    Attributes:
        kind: what happens.
        target: to whom: a kind of worker, a server, or ``stores`` for their common disk.
        shortest: how long it lasts at least, in seconds.
        longest: and at most.
    """

    kind: Kind
    target: str
    shortest: float
    longest: float


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault at its time.

    Attributes:
        at: seconds after the first event.
        kind: what happens.
        target: to whom.
        seconds: how long until it is taken back.
        pick: 0 to 1: which of several workers.
    """

    at: float
    kind: Kind
    target: str
    seconds: float
    pick: float

    @property
    def name(self) -> str:
        """For logs and tables."""
        return f"{self.kind} {self.target}"


WORKER_DECK = tuple(
    Card(kind, target, shortest, longest)
    for target in WORKERS
    for kind, shortest, longest in (
        ("kill", 0.0, 0.0),
        ("terminate", 0.0, 0.0),
        ("freeze", 20.0, 20.0),
        ("join", 12.0, 20.0),
        ("leave", 8.0, 15.0),
    )
)
SERVER_DECK = (
    *(
        Card(kind, target, shortest, longest)
        for target in SERVERS
        for kind, shortest, longest in (
            ("crash", 1.0, 6.0),
            ("freeze", 20.0, 20.0),
            ("cut", 0.0, 0.0),
            ("blackhole", 6.0, 12.0),
            ("slow", 8.0, 15.0),
        )
    ),
    Card("fill disk", "stores", 8.0, 15.0),
)

#: Pause after a fault of one lane before the next: a deck of servers and one of workers are
#: played at the same time, so faults of the two overlap.
PAUSES = {"servers": (2.0, 6.0), "workers": (4.0, 9.0)}
_FIRST = 3.0


def plan(seed: int, seconds: float, without: Collection[tuple[str, str]] = ()) -> list[Strike]:
    """Draw the faults of a run, in the order of their times.

    Each deck is shuffled and played through before it is shuffled again, so that no kind is
    missed in a long run. All faults are over when the last event is published.

    Args:
        seed: of the random generator.
        seconds: how long events are published.
        without: kinds with their targets that are not to be had here; either may be ``*``.
    """
    strikes: list[Strike] = []
    for lane, deck in (("servers", SERVER_DECK), ("workers", WORKER_DECK)):
        generator = random.Random(f"{seed} {lane}")
        cards = [card for card in deck if not _left_out(card, without)]
        strikes += _play(generator, cards, seconds, PAUSES[lane])
    return sorted(strikes, key=lambda strike: strike.at)


def _left_out(card: Card, without: Collection[tuple[str, str]]) -> bool:
    return any(
        kind in ("*", card.kind) and target in ("*", card.target) for kind, target in without
    )


def _play(
    generator: random.Random,
    cards: Sequence[Card],
    seconds: float,
    pause: tuple[float, float],
) -> Iterator[Strike]:
    """One fault after another; a card that would outlast the run is passed over."""
    at = _FIRST + generator.uniform(0.0, pause[1])
    passed_over = 0
    for card in _dealt(generator, cards):
        length = generator.uniform(card.shortest, card.longest)
        pick = generator.random()
        if at + length > seconds:
            passed_over += 1
            if passed_over > len(cards):
                return
            continue
        passed_over = 0
        yield Strike(round(at, 1), card.kind, card.target, round(length, 1), pick)
        at += length + generator.uniform(*pause)


def _dealt(generator: random.Random, cards: Sequence[Card]) -> Iterator[Card]:
    while cards:
        yield from generator.sample(cards, len(cards))
