"""Composed frames: the same every time, with as many faces as asked for."""

from argparse import ArgumentTypeError

import pytest

from benchmarks.load.frames import Case, compose, load_faces
from config.settings import ModelSettings
from ml.recognition.face_analyser import Analyser, build_analyser


@pytest.fixture(scope="module")
def analyser() -> Analyser:
    return build_analyser(ModelSettings())


@pytest.mark.parametrize(
    "case",
    [Case(640, 480, 0), Case(640, 480, 1), Case(640, 480, 20), Case(1920, 1080, 4)],
    ids=str,
)
def test_every_face_is_found(case: Case, analyser: Analyser):
    frames = compose(case, load_faces(), count=2)

    assert [image.shape for image in frames.images] == [(case.height, case.width, 3)] * 2
    assert [len(faces) for faces in analyser.detector.detect(frames.images)] == [case.faces] * 2


def test_the_same_case_gives_the_same_bytes():
    case = Case(320, 240, 2)

    first, second = (compose(case, load_faces(), count=3).jpegs for _ in range(2))

    assert first == second
    assert len(set(first)) == 3


def test_a_case_is_read_as_it_is_written():
    assert Case.parse("1920x1080:4") == Case(1920, 1080, 4)
    assert Case.parse(str(Case(640, 480, 0))) == Case(640, 480, 0)


@pytest.mark.parametrize("text", ["640x480", "x:1", "8x8:1", "640x480:-1", "640x480:many"])
def test_what_is_no_case_is_refused(text: str):
    with pytest.raises(ArgumentTypeError, match=r".+"):
        Case.parse(text)
