"""The faces of a mosaic are where its tiles say."""

import numpy as np

from benchmarks.images.mosaics import HEIGHTS, Portrait, mosaic


def portrait(person, height, width):
    """White, with a black face."""
    picture = np.full((height, width, 3), 255, np.uint8)
    picture[height // 4 : height // 2, width // 4 : width // 2] = 0
    box = np.array([width // 4, height // 4, width // 4, height // 4], np.float32)
    landmarks = np.tile(box[:2] + box[2:] / 2, (5, 1)).astype(np.float32)
    return Portrait(person, picture, box, landmarks, np.ones(1, np.float32))


def test_faces_are_where_the_tiles_say_and_none_is_enlarged():
    portraits = [portrait("one", 400, 320), portrait("two", 240, 240)]
    frame, tiles = mosaic(portraits, 1280, 720, 2.0, np.random.default_rng(0))
    assert frame.shape == (720, 1280, 3)
    assert {tile.portrait.person for tile in tiles} == {"one", "two"}
    for tile in tiles:
        x, y, width, height = tile.box
        assert x >= 0
        assert y >= 0
        assert height <= min(tile.portrait.box[3], 2.2 * max(HEIGHTS)) + 1
        centre = frame[int(y + height / 2), int(x + width / 2)]
        assert centre.max() < 60
        assert np.allclose(tile.landmarks, tile.box[:2] + tile.box[2:] / 2, atol=0.01)
    again, _ = mosaic(portraits, 1280, 720, 2.0, np.random.default_rng(0))
    assert np.array_equal(frame, again)
