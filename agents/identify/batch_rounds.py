"""Splits the events of a batch into rounds that are processed in order; nearly always one round."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from domain.events import DetectedFaces, EventKind
from domain.failures import Reject
from domain.store_rows import EventKey
from streams.contract.message import Message

if TYPE_CHECKING:
    from uuid import UUID

Round = dict[EventKey, DetectedFaces]


class Rounds(NamedTuple):
    """The rounds of a batch.

    Attributes:
        rounds: the events of each round; an event is at most once in a round.
        refused: messages that cannot be processed.
        duplicates: number of messages that repeat another message of the batch.
    """

    rounds: list[Round]
    refused: dict[Message, Reject]
    duplicates: int


def in_rounds(batch: Iterable[Message], read: Callable[[Message], DetectedFaces]) -> Rounds:
    """Read the messages of a batch, and put each event into a round.

    Args:
        batch: the messages, in order.
        read: reads one, or raises `Reject`.
    """
    rounds: list[Round] = [{}]
    refused: dict[Message, Reject] = {}
    count = 0
    models: dict[UUID, str] = {}
    for message in batch:
        try:
            faces = read(message)
        except Reject as reject:
            refused[message] = reject
        else:
            count += 1
            event = faces.event
            if event.kind is EventKind.FRAME and models.setdefault(event.uuid, faces.model) != (
                faces.model
            ):
                continue  # a frame has one result, also where a new model has embedded it again
            _place(EventKey(faces.event.uuid, faces.model), faces, rounds)
    return Rounds(rounds, refused, count - sum(map(len, rounds)))


def _place(key: EventKey, faces: DetectedFaces, rounds: list[Round]) -> None:
    """Put an event into a round by the ledger's rules.

    The next message of the event replaces a failure; one with another policy, or with ``force``, is
    decided again.
    """
    for found in rounds:
        if key not in found or _failed(found[key]):
            found[key] = faces
            return
        if found[key].policy == faces.policy and found[key].event.force == faces.event.force:
            return
    rounds.append({key: faces})


def _failed(faces: DetectedFaces) -> bool:
    return faces.refusal is not None and faces.refusal.given_up
