"""What the detect agent says of a turned face reaches ``faces.detected``."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from ml.recognition.face_analyser import AnalysedFace
from ml.recognition.face_quality import QualityReport
from streams.contract.value_codec import unpack
from tests.unit.agents.test_detect_order import detect_stage, frame, photo


def analysed(upright_margin):
    return AnalysedFace(
        box=np.array([0, 0, 50, 50], np.float32),
        landmarks=np.zeros((5, 2), np.float32),
        score=0.9,
        quality=QualityReport(
            face_pixels=50,
            sharpness=300,
            brightness=120,
            contrast=50,
            asymmetry=0,
            eye_mouth_ratio=1,
            detector_score=0.9,
            upright_margin=upright_margin,
        ),
        embedding=np.eye(1, 8, dtype=np.float32)[0],
        crop=b"\xff\xd8\xff",
    )


@pytest.mark.parametrize(("margin", "reliable"), [(0.2, True), (-0.1, False), (-1.0, False)])
async def test_field_01_a_turned_face_is_reported_as_unreliable(margin, reliable):
    models = SimpleNamespace(
        lanes=1,
        embedder=SimpleNamespace(id="none"),
        profiles={},
        analyse=lambda images, **_options: [[analysed(margin)] for _ in images],
    )
    sent = []

    async def send_all(messages):
        sent.extend(unpack(message.value) for message in messages)

    with ThreadPoolExecutor(2) as threads:
        detect = detect_stage(models, SimpleNamespace(send_all=send_all), threads)
        await detect.process([frame("a", 0)])
    ((face,),) = (message.faces for message in sent)
    assert face.reliable is reliable
    assert (face.quality >= 0.35) is reliable


@pytest.mark.parametrize(
    ("message", "check_all"),
    [(frame("a", 0), False), (photo("enrol", 0), True), (photo("search", 0), True)],
    ids=["frame", "enrolment", "search"],
)
async def test_field_01_every_face_of_a_photo_gets_a_second_look(message, check_all):
    """A long embedding spares a frame's face the second look, and never a template's."""
    asked = []

    def analyse(images, **options):
        asked.append(options)
        return [[] for _ in images]

    async def send_all(_messages):
        pass

    with ThreadPoolExecutor(2) as threads:
        detect = detect_stage(
            SimpleNamespace(
                lanes=1, embedder=SimpleNamespace(id="none"), profiles={}, analyse=analyse
            ),
            SimpleNamespace(send_all=send_all),
            threads,
        )
        await detect.process([message])
    assert asked == [{"check_all": check_all}]
