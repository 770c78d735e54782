"""A scene in which nothing moves, with noise, other light, compression and a camera that shakes."""

from collections.abc import Callable, Iterator, Mapping

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.load.frames import Picture
from infra.cameras.encoding import JpegEncoder

#: uint8 (H, W, 3) as float32, and the number of the frame, to the same.
_Change = Callable[[npt.NDArray[np.float32], int, np.random.Generator], npt.NDArray[np.float32]]

_QUALITY = 85
_NOISE = 2.0


def _as_it_is(scene: npt.NDArray[np.float32], *_: object) -> npt.NDArray[np.float32]:
    return scene


def _noise(deviation: float) -> _Change:
    return lambda scene, _, random: np.asarray(
        scene + deviation * random.standard_normal(scene.shape, np.float32), np.float32
    )


def _night(
    scene: npt.NDArray[np.float32], number: int, random: np.random.Generator
) -> npt.NDArray[np.float32]:
    return _noise(12)(np.float32(0.2) * scene, number, random)


def _flicker(
    scene: npt.NDArray[np.float32], _: int, random: np.random.Generator
) -> npt.NDArray[np.float32]:
    return np.asarray(scene * np.float32(random.uniform(0.92, 1.08)), np.float32)


def _bands(scene: npt.NDArray[np.float32], number: int, _: object) -> npt.NDArray[np.float32]:
    rows = np.arange(len(scene))[:, None, None] / len(scene)
    light = 1 + 0.08 * np.sin(2 * np.pi * (2 * rows + 0.37 * number))
    return np.asarray(scene * light, np.float32)


def _exposure(scene: npt.NDArray[np.float32], number: int, _: object) -> npt.NDArray[np.float32]:
    return np.asarray(scene * np.float32(2 ** (0.5 * np.sin(number / 6))), np.float32)


def _dusk(scene: npt.NDArray[np.float32], number: int, _: object) -> npt.NDArray[np.float32]:
    return np.asarray(scene * np.float32(0.985**number), np.float32)


def _lamp(scene: npt.NDArray[np.float32], number: int, _: object) -> npt.NDArray[np.float32]:
    """Switched on once, and brightest in one place."""
    columns = np.arange(scene.shape[1])[None, :, None] / scene.shape[1]
    light = 1 + 0.5 * np.exp(-(((columns - 0.8) / 0.25) ** 2))
    return np.asarray(scene * light if number > _LAMP_ON else scene, np.float32)


def _shake(most: float) -> _Change:
    def moved(
        scene: npt.NDArray[np.float32], _: int, random: np.random.Generator
    ) -> npt.NDArray[np.float32]:
        dx, dy = random.uniform(-most, most, 2)
        matrix = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
        size = (scene.shape[1], scene.shape[0])
        return np.asarray(
            cv2.warpAffine(
                scene, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
            ),
            np.float32,
        )

    return moved


_LAMP_ON = 10

#: What changes from frame to frame, by name, and the qualities of the JPEGs, one of them a frame.
CONDITIONS: Mapping[str, tuple[_Change, tuple[int, ...]]] = {
    "sensor noise 2": (_as_it_is, (_QUALITY,)),
    "sensor noise 10": (_noise(10), (_QUALITY,)),
    "sensor noise 20": (_noise(20), (_QUALITY,)),
    "night, noise 12": (_night, (_QUALITY,)),
    "JPEG quality 30 to 95": (_as_it_is, (30, 50, 70, 85, 95)),
    "JPEG quality 20": (_as_it_is, (20,)),
    "JPEG quality 10": (_as_it_is, (10,)),
    "flicker of 8 %": (_flicker, (_QUALITY,)),
    "bands of 8 %": (_bands, (_QUALITY,)),
    "exposure by 40 %": (_exposure, (_QUALITY,)),
    "dusk": (_dusk, (_QUALITY,)),
    "a lamp switched on": (_lamp, (_QUALITY,)),
    "shake of 1 pixel": (_shake(1), (_QUALITY,)),
    "shake of 2 pixels": (_shake(2), (_QUALITY,)),
    "shake of 4 pixels": (_shake(4), (_QUALITY,)),
}


def still_frames(scene: Picture, name: str, count: int) -> Iterator[bytes]:
    """JPEGs of a scene under a condition, the same in every run."""
    change, qualities = CONDITIONS[name]
    random = np.random.default_rng(20_231)
    still = scene.astype(np.float32)
    for number in range(count):
        seen = _noise(_NOISE)(change(still, number, random), number, random)
        encoder = JpegEncoder(qualities[int(random.integers(len(qualities)))])
        yield encoder.encode(np.clip(seen, 0, 255).astype(np.uint8))
