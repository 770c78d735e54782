"""Which messages are on which topic, under which key, and who sends and reads them."""

from dataclasses import dataclass
from typing import Literal

from infra.asyncapi import message_kinds as kinds
from infra.asyncapi.message_kinds import MessageKind
from streams.contract.topics import Topics

Action = Literal["send", "receive"]


@dataclass(frozen=True, slots=True)
class Channel:
    """A topic.

    Attributes:
        topic: its name without the deployment's prefix.
        summary: what is on it.
        key: the key of its messages.
        messages: the kinds of its messages.
        actions: what Fecapass does with it.
        from_others: whether other programs send its messages.
        internal: whether it changes from release to release.
    """

    topic: str
    summary: str
    key: str
    messages: tuple[MessageKind, ...]
    actions: tuple[Action, ...]
    from_others: bool = False
    internal: bool = False


_TOPICS = Topics()
_CAMERA = "The camera's id."
_BOTH: tuple[Action, ...] = ("send", "receive")

CHANNELS = (
    Channel(
        _TOPICS.frames,
        "Pictures of cameras, from programs that publish them.",
        "The camera's id; without a key it is `ce_source`.",
        (kinds.FRAME, kinds.BARE_IMAGE),
        ("receive",),
        from_others=True,
    ),
    Channel(
        _TOPICS.uploads,
        "Photos to enrol or to search by, from the API, the command line, or other programs. The "
        "answer to each is in Redis and in the ledger.",
        "The upload's id; without a key it is `ce_id`.",
        (kinds.ENROL, kinds.SEARCH, kinds.BARE_IMAGE),
        _BOTH,
        from_others=True,
    ),
    Channel(
        _TOPICS.detected,
        "What the detect workers have found, for the identify workers.",
        "That of the image.",
        (kinds.DETECTED,),
        _BOTH,
        internal=True,
    ),
    Channel(
        _TOPICS.matches,
        "One message per face: who it is. At least once.",
        "The camera's id, or the upload's.",
        kinds.MATCHES,
        _BOTH,
    ),
    Channel(
        _TOPICS.visits,
        "Who has come, who is there and who has left. At least once, those of a visit in the order "
        "of `revision`.",
        _CAMERA,
        kinds.VISITS,
        _BOTH,
    ),
    Channel(
        _TOPICS.people,
        "What has changed about who is who. At least once, in the order in which it was stored.",
        "The id of the user or of the unknown that it is about.",
        kinds.CHANGES,
        ("send",),
    ),
    Channel(
        _TOPICS.processed,
        "One message per frame, if `FECAPASS_KAFKA__FRAMES_PROCESSED` is on.",
        _CAMERA,
        (kinds.PROCESSED,),
        ("send",),
    ),
    Channel(
        _TOPICS.heartbeats,
        "The state of every worker. One partition.",
        "The instance of the worker.",
        (kinds.HEARTBEAT,),
        _BOTH,
    ),
    Channel(
        _TOPICS.models,
        "Which embedder decides, from identify to detect workers. One partition.",
        "`models`",
        (kinds.MODELS,),
        _BOTH,
        internal=True,
    ),
    *(
        Channel(
            _TOPICS.dead_letter(topic),
            f"Messages of `{topic}` that could not be processed. `fecapass replay {topic}` sends "
            "them to their topic again, and writes a receipt to the same partition.",
            "That of the original.",
            (kinds.DEAD_LETTER, kinds.RECEIPT),
            _BOTH,
        )
        for topic in _TOPICS.consumed
    ),
)
