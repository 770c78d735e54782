"""The whole frame as it is kept for a visit: a JPEG, upright, no larger than needed.

What a camera writes in addition to the picture (where it was taken, by which device, a thumbnail)
is not kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np

from domain.arrays import Image
from domain.images.image_headers import ImageHeader
from ml.images.decoding import encode_jpeg
from ml.images.jpeg import bare_jpeg

# A snapshot is looked at by people; for recognition there are the crops.
_QUALITY = 80
_LOWER_QUALITY = 50

#: Bytes of a camera's own JPEG that is taken as it is; a larger one is encoded again.
_FEW_BYTES = 512 * 1024

#: Maximum bytes of a snapshot. Only noise has more, at a long side far above the default.
MOST_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class SnapshotPolicy:
    """Which frames have a snapshot.

    Attributes:
        enabled: whether cameras have some.
        by_camera: the same for single cameras, with precedence.
        long_side: of a snapshot, in pixels at most.
        message_bytes: a message that is larger with its snapshot has none.
    """

    enabled: bool = True
    by_camera: Mapping[str, bool] = field(default_factory=dict)
    long_side: int = 1280
    message_bytes: int = 8 * 1024 * 1024

    def wants(self, camera: str) -> bool:
        """Whether frames of this camera have snapshots."""
        return self.by_camera.get(camera, self.enabled)


#: Of workers that keep no frames.
NO_SNAPSHOTS = SnapshotPolicy(enabled=False)


def snapshot_of(data: bytes, header: ImageHeader, picture: Image, long_side: int) -> bytes:
    """A frame as it is kept.

    Args:
        data: the encoded frame, which was decoded before.
        header: what `ml.images.decoding.inspect` said of it.
        picture: uint8 (H, W, 3), BGR, upright, in full size.
        long_side: of the result, in pixels at most.

    Returns:
        A JPEG; empty where even that of a lower quality would be too large.
    """
    height, width = picture.shape[:2]
    longest = max(height, width)
    if longest <= long_side and header.format == "jpeg":
        bare = bare_jpeg(data)
        if bare is not None and len(bare) <= _FEW_BYTES:
            return bare
    if longest > long_side:
        size = (
            max(1, round(width * long_side / longest)),
            max(1, round(height * long_side / longest)),
        )
        # Means of areas take six times as long as interpolation, which is enough for small steps.
        way = cv2.INTER_AREA if longest >= 2 * long_side else cv2.INTER_LINEAR
        picture = np.asarray(cv2.resize(picture, size, interpolation=way), np.uint8)
    for quality in (_QUALITY, _LOWER_QUALITY):
        encoded = encode_jpeg(picture, quality)
        if len(encoded) <= MOST_BYTES:
            return encoded
    return b""
