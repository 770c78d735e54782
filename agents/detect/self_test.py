"""Valid messages for the self-test of a detect worker. Pure.

If most messages are refused, the worker processes these messages. If it refuses them too, its code,
its libraries or its settings are at fault, and not the senders of the other messages.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from domain.events import EventKind, ImageEvent, utc_now
from ml.images.decoding import Image
from streams.contract.envelope import encode_headers
from streams.contract.message import Message, Partition
from streams.contract.topics import Topics

_HEIGHT, _WIDTH = 240, 320
_FORMATS = {"jpeg": ".jpg", "png": ".png", "webp": ".webp"}

#: Maximum mean difference of grey values (0 to 255) after a lossy encoding.
_LOSS = 4.0


def good_messages(topics: Topics) -> Sequence[Message]:
    """A small frame in each format that cameras send."""
    return [
        _message(topics, offset, name, suffix)
        for offset, (name, suffix) in enumerate(_FORMATS.items())
    ]


def is_as_sent(image: Image) -> bool:
    """Whether a decoded image is the picture of `good_messages`."""
    picture = _picture()
    return image.shape == picture.shape and float(np.mean(cv2.absdiff(image, picture))) <= _LOSS


def _message(topics: Topics, offset: int, name: str, suffix: str) -> Message:
    event = ImageEvent(
        kind=EventKind.FRAME, source="fecapass/proof", id=name, key="proof", captured_at=utc_now()
    )
    return Message(
        partition=Partition(topics.frames, 0),
        offset=offset,
        key=event.key.encode(),
        value=cv2.imencode(suffix, _picture())[1].tobytes(),
        headers=tuple(encode_headers(event, f"image/{name}")),
        timestamp=event.captured_at.timestamp(),
    )


def _picture() -> Image:
    """A grey ramp, 240 x 320 x 3 uint8: an error in rows, columns or values changes it."""
    rows, columns = np.mgrid[0:_HEIGHT, 0:_WIDTH]
    grey = (rows + columns) * 255 // (_HEIGHT + _WIDTH)
    return np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2)
