"""A person is live, a picture of one is a spoof: through all agents, with a model of the family.

The agents run one after the other in this process, on all their real stores. A picture opens
nothing and enrols nothing where there is a gate.
"""

import asyncio
import hashlib
import json
import shutil
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import cv2
import numpy as np
import pytest
import pytest_asyncio

from agents.detect.detect_stage import Detect
from agents.detect.followed_cameras import TrackingPolicy
from agents.detect.liveness_checks import NO_LIVENESS, LivenessPolicy
from agents.galleries import Galleries
from agents.identify.identify_stage import Identify, Policies
from agents.processes.follow_process import visit_policy
from agents.visits.visit_lookup import VisitLookup
from agents.visits.visits_stage import Visits
from config.settings import LivenessSettings, ModelSettings, VisitSettings
from domain.decisions.enrolment import EnrolmentPolicy
from domain.failures import Retry
from domain.personal_data import DataSubject
from domain.upload_answers import decode_answer
from ml.images.decoding import ImageLimits
from ml.liveness.liveness_check import LivenessCheck
from ml.liveness.minifasnet import load_minifasnet
from ml.recognition.face_analyser import build_analyser
from ml.runtime.model_registry import match_policy
from sinks.cache.open_visits import OpenVisits
from sinks.main.visit_store import VisitStore
from sinks.stores import Stores
from streams.contract.message import Message, Partition
from streams.contract.topics import Topics
from streams.contract.value_codec import match_from_json, unpack
from streams.contract.visit_codec import visit_from_json
from tests.end_to_end import photos
from tests.stored_records import ledger_row, stored_user
from tests.unit.agents.coloured_squares import frame

MODEL = "antispoof_print_replay_1.5_128.onnx"
PICTURES = ("live", "print", "replay")
SPOOFS = frozenset({"print", "replay"})
FRAMES, RATE = 10, 4
TOPICS = Topics("")
ENROLMENT = EnrolmentPolicy(0.35, 40)


def policy_of(model):
    return match_policy(model, ModelSettings())


class Broker:
    """Keeps what is sent, by topic, as messages that a worker reads."""

    def __init__(self):
        self.messages = defaultdict(list)

    async def send_all(self, messages):
        for one in messages:
            topic = self.messages[one.topic]
            topic.append(
                Message(
                    Partition(one.topic, 0), len(topic), one.key, one.value, tuple(one.headers), 0.0
                )
            )

    def taken(self, topic):
        """What was sent to a topic since the last look."""
        return self.messages.pop(topic, [])


class Pipeline:
    """All agents, with these modes of liveness."""

    def __init__(self, parts, broker, liveness):
        self.parts, self.broker = parts, broker
        settings = LivenessSettings.model_validate({"model_file": "unused", **liveness})
        check = LivenessPolicy(parts["check"], settings.mode_of, settings.usual_mode)
        threads = parts["threads"]
        self.detect = Detect(
            parts["analyser"],
            broker,
            TOPICS,
            limits=ImageLimits(1 << 22, 1 << 22),
            claims=None,
            decoders=threads,
            models=threads,
            image_memory=1 << 28,
            policy="",
            tracking=TrackingPolicy(),
            liveness=check if settings.is_used else NO_LIVENESS,
        )
        self.identify = Identify(
            parts["stores"],
            parts["galleries"],
            broker,
            TOPICS,
            policies=Policies(match=policy_of, enrolment=ENROLMENT),
            executor=threads,
        )
        self.visits = Visits(
            parts["visits"],
            VisitLookup(parts["stores"].vectors, parts["galleries"], policy_of),
            parts["open_visits"],
            broker,
            TOPICS,
            policy=lambda camera: visit_policy(VisitSettings(), settings, camera),
            executor=threads,
        )

    async def enrol(self, user, picture):
        """The answer to a photo."""
        sent = frame(
            0, 0, picture, uuid4().hex, ce_type="fecapass.photo.enrol", ce_subject=str(user)
        )
        await self.detect.process([replace(sent, partition=Partition(TOPICS.uploads, 0))])
        messages = self.broker.taken(TOPICS.detected)
        await self.identify.process(messages)
        (found,) = [unpack(one.value) for one in messages]
        row = await ledger_row(self.parts["stores"].records, found.event.uuid, found.model)
        return decode_answer(row.answer)

    async def show(self, clips):
        """The matches and the visits that follow from a clip at each camera, by camera."""
        frames = [
            frame(number, number * (1.0 if "frozen" in camera else 1 / RATE), clip[number], camera)
            for number in range(FRAMES)
            for camera, clip in clips.items()
        ]
        for start in range(0, len(frames), 8):
            await process(self.detect, frames[start : start + 8])
        await process(self.identify, self.broker.taken(TOPICS.detected))
        matches = self.broker.taken(TOPICS.matches)
        await process(self.visits, matches)
        await self.visits.wait(timedelta(seconds=60))
        faces, told = defaultdict(list), defaultdict(list)
        for one in matches:
            faces[one.key.decode()].append(one.value)
        for one in self.broker.taken(TOPICS.visits):
            told[one.key.decode()].append(visit_from_json(one.value))
        return faces, told


async def process(stage, batch):
    """Process a batch; again what a busy store did not take in time, as a worker does it."""
    async with asyncio.timeout(120):
        while batch:
            outcomes = await stage.process(batch)
            assert {type(one) for one in outcomes.values()} <= {Retry}
            batch = [one for one in batch if one in outcomes]


@pytest_asyncio.fixture(scope="module")
async def parts(shared, prepared, records, vectors, crops, recents, tmp_path_factory):
    """The models and the stores."""
    folder = tmp_path_factory.mktemp("liveness")
    path = folder / MODEL
    shutil.copy(shared / "models" / MODEL, path)
    manifest = {
        "licence": "for tests only",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "crop": 1.5,
        "size": 128,
        "classes": ["live", "print", "replay"],
        "threshold": 0.5,
    }
    path.with_name(f"{MODEL}.json").write_text(json.dumps(manifest))
    async with (
        VisitStore(prepared.main_db) as visits,
        OpenVisits(prepared.redis) as open_visits,
    ):
        with ThreadPoolExecutor(2) as threads:
            yield {
                "threads": threads,
                "analyser": build_analyser(ModelSettings(cache_dir=folder, threads=1)),
                "check": LivenessCheck(load_minifasnet(path)),
                "stores": Stores(crops=crops, vectors=vectors, records=records, recents=recents),
                "galleries": Galleries(vectors, poll=1.0, max_age=2.0),
                "visits": visits,
                "open_visits": open_visits,
            }


@pytest.fixture(scope="module")
def pictures(shared):
    return {name: (shared / "data" / "liveness" / f"{name}.jpg").read_bytes() for name in PICTURES}


@pytest.fixture(scope="module")
def clips(pictures):
    """What cameras see, by name: a person who moves, two pictures in a hand, and a frozen frame."""
    moved = {name: list(moving(data, warped=name == "live")) for name, data in pictures.items()}
    return moved | {"frozen": [pictures["live"]] * FRAMES}


def moving(data, *, warped):
    """A picture that is moved, and of a person one that also moves by itself; with noise."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    height, width = image.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    noise = np.random.default_rng(3)
    for number in range(FRAMES):
        at = number / RATE
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), 2 * np.sin(at), 1.0)
        turn[:, 2] += (8 * np.sin(1.3 * at), 5 * np.cos(at))
        moved = cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REFLECT)
        if warped:
            x = columns + 5 * np.sin(rows / 30 + 2 * at).astype(np.float32)
            y = rows + 5 * np.sin(columns / 30 + 2 * at).astype(np.float32)
            moved = cv2.remap(moved, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        grains = moved + noise.normal(0, 2, moved.shape)
        yield photos.jpeg(np.clip(grains, 0, 255).astype(np.uint8))


async def test_a_spoof_is_not_enrolled(parts, pictures, vectors, records):
    pipeline = Pipeline(parts, Broker(), {"mode": "gate"})
    user = await stored_user(records, f"{uuid4().hex}@example.com")
    for name in ("print", "replay"):
        answer = await pipeline.enrol(user.id, pictures[name])
        assert (answer.status, answer.code) == ("refused", "spoof_suspected")
        assert "printed picture or a screen" in answer.message
        assert answer.measures["liveness"] < 0.1
    assert await templates(vectors, user.id) == []
    answer = await pipeline.enrol(user.id, pictures["live"])
    assert answer.status == "enrolled"
    assert answer.measures["liveness"] > 0.9
    assert await templates(vectors, user.id) == [answer.face_id]
    observing = Pipeline(parts, Broker(), {"mode": "observe"})
    answer = await observing.enrol(user.id, pictures["print"])
    assert answer.status == "enrolled"
    assert answer.measures["liveness"] < 0.1
    await vectors.erase(DataSubject(user.id))


async def templates(vectors, user_id):
    async with vectors._connection("test") as connection:
        rows = await connection.fetch(
            "SELECT face_id FROM face_embeddings WHERE user_id = $1 AND kind = 'template'", user_id
        )
    return [row["face_id"] for row in rows]


@pytest_asyncio.fixture
async def people(parts, pictures, vectors, records):
    """Whom the pictures show, by picture: all are enrolled, so that only the gate is in the way."""
    off = Pipeline(parts, Broker(), {"mode": "off"})
    users: dict[str, UUID] = {}
    embeddings = {}
    for name, data in pictures.items():
        (found,) = parts["analyser"].analyse([cv2.imdecode(np.frombuffer(data, np.uint8), 1)])
        embedding = found[0].embedding
        same = [one for one in embeddings if float(embeddings[one] @ embedding) > 0.4]
        embeddings[name] = embedding
        if same:
            users[name] = users[same[0]]
            continue
        user = await stored_user(records, f"{uuid4().hex}@example.com")
        answer = await off.enrol(user.id, data)
        assert answer.status == "enrolled"
        assert "liveness" not in answer.measures
        users[name] = user.id
    yield users | {"frozen": users["live"]}
    for user_id in set(users.values()):
        await vectors.erase(DataSubject(user_id))


async def test_a_picture_opens_no_visit_as_a_users(parts, clips, people, records):
    modes = ("gate", "observe")
    cameras = {f"{mode}-{name}": clip for mode in modes for name, clip in clips.items()}
    cameras |= {"off-print": clips["print"]}
    run = uuid4().hex[:8]
    named = {f"{camera}-{run}": clip for camera, clip in cameras.items()}
    by_camera = {camera: camera.split("-")[0] for camera in named}
    pipeline = Pipeline(parts, Broker(), {"mode": "off", "mode_by_camera": by_camera})
    faces, told = await pipeline.show(named)
    assert set(faces) == set(told) == set(named)
    for camera in named:
        mode, name, _ = camera.split("-")
        check_faces(mode, name, faces[camera])
        check_visit(mode, name, told[camera], people)
    stored = [one.match for one in await records.recent_faces(100, camera=f"gate-print-{run}")]
    assert {one.decision for one in stored} == {"spoof_suspected"}
    assert {one.liveness.status for one in stored if one.fresh} == {"spoof"}


async def test_where_nothing_is_checked_nothing_is_different(parts, clips, people):
    """A camera that is off, and workers without a model, announce and store the same."""
    found = []
    for liveness in ({"mode": "off"}, {"mode": "off", "mode_by_camera": {"elsewhere": "gate"}}):
        camera = f"off-{uuid4().hex}"
        pipeline = Pipeline(parts, Broker(), liveness)
        faces, told = await pipeline.show({camera: clips["print"]})
        assert not any(b"liveness" in value for value in faces[camera])
        found.append(
            (
                [(one.user_id, one.decision) for one in map(match_from_json, faces[camera])],
                [(one.user_id, one.state, one.reason, one.liveness) for one in told[camera]],
            )
        )
    assert found[0] == found[1]
    assert {user for user, _ in found[0][0]} == {people["print"]}


def check_faces(mode, name, values):
    assert len(values) == FRAMES
    found = [match_from_json(value) for value in values]
    if mode == "off":
        assert not any(b"liveness" in value for value in values)
        return
    assert all((one.liveness.status == "not_run") == (not one.fresh) for one in found)
    expected = "spoof" if name in SPOOFS else "live"
    assert {one.liveness.status for one in found if one.fresh} == {expected}
    if mode == "gate" and name in SPOOFS:
        assert {(one.decision, one.user_id) for one in found} == {("spoof_suspected", None)}
    else:
        assert "spoof_suspected" not in {one.decision for one in found}


def check_visit(mode, name, announced, people):
    assert len({one.visit_id for one in announced}) == 1
    last = announced[-1]
    assert last.state == "ended"
    if mode == "off":
        assert {one.liveness for one in announced} == {None}
        assert last.user_id == people[name]
        return
    is_spoof = name in {*SPOOFS, "frozen"}
    assert last.liveness.status == ("spoof" if is_spoof else "live")
    assert last.user_id == (None if mode == "gate" and is_spoof else people[name])
    if mode == "gate" and name in SPOOFS:
        assert {one.user_id for one in announced} == {None}
