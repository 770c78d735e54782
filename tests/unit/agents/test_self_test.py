"""A detect worker proves by pictures of its own that it can do its work, or that it cannot."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import cv2
import numpy as np
import pytest

from agents.detect import image_reading as detect_module
from agents.detect.detect_stage import Detect
from agents.detect.self_test import good_messages, is_as_sent
from config.settings import ModelSettings
from ml.images.decoding import ImageLimits, decode
from ml.recognition.face_analyser import build_analyser
from streams.contract.topics import Topics

LIMITS = ImageLimits(1 << 20, 10_000_000)


@pytest.fixture(scope="module")
def analyser():
    return build_analyser(ModelSettings(threads=1))


@asynccontextmanager
async def worker(analyser, limits=LIMITS):
    with ThreadPoolExecutor(1) as pool:
        yield Detect(
            analyser,
            None,
            Topics(),
            limits=limits,
            claims=None,
            decoders=pool,
            models=pool,
            image_memory=1 << 30,
            policy="test",
        )


async def proves(analyser, **options):
    async with worker(analyser, **options) as detect, asyncio.timeout(30):
        try:
            return await detect.self_test()
        except (RuntimeError, ValueError, cv2.error):
            return False


async def test_field_19_a_good_worker_proves_itself(analyser):
    assert await proves(analyser)


@pytest.mark.parametrize("limits", [ImageLimits(100, 10_000_000), ImageLimits(1 << 20, 1000)])
async def test_field_19_settings_that_refuse_every_picture_are_no_senders_fault(analyser, limits):
    assert not await proves(analyser, limits=limits)


@pytest.mark.parametrize("decoded", ["nothing", "another picture", "another size"])
async def test_field_19_a_decoder_that_has_gone_bad_proves_nothing(analyser, monkeypatch, decoded):
    def broken(_data, _header):
        if decoded == "nothing":
            raise detect_module.ImageRejected("corrupt", "the library is of another release")
        size = (240, 320, 3) if decoded == "another picture" else (24, 32, 3)
        return np.zeros(size, np.uint8)

    monkeypatch.setattr(detect_module, "decode_inspected", broken)
    assert not await proves(analyser)


@pytest.mark.parametrize("step", ["detect", "embed", "no embedding"])
async def test_field_19_models_that_have_gone_bad_prove_nothing(analyser, monkeypatch, step):
    def broken(_images):
        if step == "no embedding":
            return np.full((1, 128), np.nan, np.float32)
        raise RuntimeError("no kernel for this device")

    part, name = (analyser.detector, "detect") if step == "detect" else (analyser.embedder, "embed")
    monkeypatch.setattr(part, name, broken, raising=True)
    assert not await proves(analyser)


def test_field_19_the_pictures_survive_every_format():
    for message in good_messages(Topics()):
        assert is_as_sent(decode(message.value, LIMITS))
        assert not is_as_sent(decode(message.value, LIMITS)[::-1])
