"""The contract between every stage and its worker; see `streams.processing.stage.Stage`."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from types import MappingProxyType, SimpleNamespace
from uuid import uuid4

import cv2
import numpy as np
import pytest

from agents.detect.detect_stage import Detect
from agents.galleries import Galleries
from agents.identify.identify_stage import Identify, Policies
from agents.unknowns.unknown_lookup import UnknownLookup
from agents.unknowns.unknowns_stage import Unknowns
from agents.visits.visit_lookup import VisitLookup
from agents.visits.visits_stage import Visits
from domain.decisions.enrolment import EnrolmentPolicy
from domain.decisions.grouping import GroupingPolicy
from domain.decisions.matching import MatchPolicy
from domain.decisions.visits.visit_policy import VisitPolicy
from domain.events import DetectedFaces
from domain.failures import Reject, Retry
from domain.visit_events import VisitState
from ml.images.decoding import ImageLimits
from sinks.cache.open_visits import OpenVisits
from sinks.stores import Stores
from streams.contract.message import Message, Partition
from streams.contract.topics import Topics
from streams.contract.value_codec import match_to_json, pack
from streams.contract.visit_codec import visit_to_json
from tests.contract.builders import NOON, a_match, an_event, an_open_visit, unique

DIMENSION = 8
TOPICS = Topics("")


class Broker:
    """Accepts messages, but none while it is unavailable."""

    def __init__(self):
        self.unavailable = False
        self.sent = Counter()

    async def send_all(self, messages):
        if self.unavailable:
            raise Retry("the broker is unavailable")
        self.sent.update((one.topic, one.key, one.value) for one in messages)


class Models:
    """Models that find no face."""

    lanes = 1
    embedder = SimpleNamespace(id="none")
    profiles = MappingProxyType({})

    def analyse(self, images, **_options):
        return [[] for _ in images]


@asynccontextmanager
async def detect_stage(broker, **_stores):
    with ThreadPoolExecutor(2) as threads:
        yield Detect(
            Models(),
            broker,
            TOPICS,
            limits=ImageLimits(1 << 20, 1 << 20),
            claims=None,
            decoders=threads,
            models=threads,
            image_memory=1 << 30,
            policy="test",
        )


def frame(offset):
    headers = {
        "ce_specversion": "1.0",
        "ce_id": uuid4().hex,
        "ce_source": "camera/door",
        "ce_type": "fecapass.frame.captured",
        "ce_time": "2026-05-04T12:00:00Z",
    }
    return Message(
        Partition(TOPICS.frames, 0),
        offset,
        b"door",
        cv2.imencode(".jpg", np.zeros((64, 64, 3), np.uint8))[1].tobytes(),
        tuple((name, value.encode()) for name, value in headers.items()),
        0.0,
    )


@asynccontextmanager
async def identify_stage(broker, **stores):
    with ThreadPoolExecutor(1) as executor:
        yield Identify(
            Stores(**stores),
            Galleries(stores["vectors"], poll=1.0, max_age=2.0),
            broker,
            TOPICS,
            policies=Policies(
                match=lambda _: MatchPolicy(0.5, 0.05), enrolment=EnrolmentPolicy(0.0, 0.0)
            ),
            executor=executor,
        )


def detected(offset):
    found = DetectedFaces(
        event=an_event(), model=unique("model"), width=64, height=64, faces=(), policy="test"
    )
    return Message(Partition(TOPICS.detected, 0), offset, b"door", pack(found), (), 0.0)


@asynccontextmanager
async def visits_stage(broker, **stores):
    galleries = Galleries(stores["vectors"], poll=1.0, max_age=2.0)
    with ThreadPoolExecutor(1) as executor:
        yield Visits(
            stores["visits"],
            VisitLookup(stores["vectors"], galleries, lambda _: MatchPolicy(0.5, 0.05)),
            stores["open_visits"],
            broker,
            TOPICS,
            policy=lambda _: VisitPolicy(unknown_after=0.0),
            executor=executor,
        )


def matched(offset):
    """Of a face without a row, in a visit that is announced at once."""
    return Message(
        Partition(TOPICS.matches, 0), offset, b"door", match_to_json(a_match(an_event())), (), 0.0
    )


@asynccontextmanager
async def unknowns_stage(_broker, **stores):
    galleries = Galleries(stores["unknown_gallery"], poll=1.0, max_age=2.0)
    with ThreadPoolExecutor(1) as executor:
        lookup = UnknownLookup(stores["unknowns"], stores["vectors"], galleries, executor)
        yield Unknowns(
            stores["unknowns"],
            stores["unknown_gallery"],
            lookup,
            lambda _: GroupingPolicy(0.5, 0.03, 3, 0.3),
        )


def left(offset):
    """Of a visit without a row."""
    visit = an_open_visit(state=VisitState.ENDED, reason="left", ended_at=NOON)
    return Message(Partition(TOPICS.visits, 0), offset, b"door", visit_to_json(visit), (), 0.0)


STAGES = {
    "detect": (detect_stage, frame),
    "identify": (identify_stage, detected),
    "visits": (visits_stage, matched),
    "unknowns": (unknowns_stage, left),
}


@pytest.fixture(params=STAGES)
async def case(
    request, records, vectors, crops, recents, visits, unknowns, unknown_gallery, prepared
):
    """A stage, a function that creates valid messages for it, and the broker that it sends to."""
    make, message = STAGES[request.param]
    broker = Broker()
    stores = {"records": records, "vectors": vectors, "crops": crops, "recents": recents}
    if request.param == "visits":
        stores = {"vectors": vectors, "visits": visits, "open_visits": OpenVisits(prepared.redis)}
    if request.param == "unknowns":
        stores = {"vectors": vectors, "unknowns": unknowns, "unknown_gallery": unknown_gallery}
    async with make(broker, **stores) as stage:
        yield SimpleNamespace(stage=stage, message=message, broker=broker)


def garbage(case, offset):
    good = case.message(offset)
    return Message(good.partition, offset, b"door", b"\xff", good.headers, 0.0)


async def test_an_empty_batch_has_no_effect(case):
    assert await case.stage.process([]) == {}
    assert not case.broker.sent


async def test_refused_messages_are_returned_with_the_reason_and_the_rest_is_processed(case):
    batch = [case.message(0), garbage(case, 1), case.message(2)]
    outcomes = await case.stage.process(batch)
    assert list(outcomes) == [batch[1]]
    assert isinstance(outcomes[batch[1]], Reject)
    assert outcomes[batch[1]].reason


async def test_a_batch_of_only_refused_messages_is_not_an_error(case):
    batch = [garbage(case, offset) for offset in range(3)]
    assert set(await case.stage.process(batch)) == set(batch)


async def test_messages_that_are_delivered_again_have_the_same_effects(case):
    """Also twice in one batch, and after a revocation and assignment."""
    batch = [case.message(offset) for offset in range(3)]
    assert await case.stage.process(batch) == {}
    once = set(case.broker.sent)
    assert await case.stage.process([*batch, *batch]) == {}
    partitions = sorted({message.partition for message in batch})
    await case.stage.revoked(partitions)
    await case.stage.assigned(partitions)
    assert await case.stage.process(batch) == {}
    assert set(case.broker.sent) == once


async def test_an_outage_is_a_retry_and_the_next_attempt_succeeds(case):
    batch = [case.message(0), case.message(1)]
    quiet = not await sends_something(case)
    case.broker.unavailable = True
    if not quiet:
        with pytest.raises(Retry):
            await case.stage.process(batch)
        assert not any(count for count in case.broker.sent.values() if count > 1)
    case.broker.unavailable = False
    assert await case.stage.process(batch) == {}


async def sends_something(case):
    """Whether the stage sends messages for its messages; identify does so only for faces."""
    await case.stage.process([case.message(9)])
    return bool(case.broker.sent)


async def test_revoking_unknown_partitions_and_assigning_twice_are_harmless(case):
    partitions = [case.message(0).partition]
    await case.stage.revoked(partitions)
    for _ in range(2):
        await case.stage.assigned(partitions)
    await case.stage.revoked(partitions)
    await case.stage.revoked([])
    assert await case.stage.process([case.message(0)]) == {}
