import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.images.image_errors import ImageRejected
from domain.images.image_headers import read_header
from ml.images.decoding import ImageLimits, decode, encode_jpeg, inspect
from tests.unit.ml import pictures
from tests.unit.ml.conftest import LIMITS

WEBP_LOSSLESS = (cv2.IMWRITE_WEBP_QUALITY, 101)

# Where the bright corner must be for each EXIF orientation, once the picture is upright, and
# whether its sides have changed places.
ORIENTATIONS = {
    1: ("upper left", False),
    2: ("upper right", False),
    3: ("lower right", False),
    4: ("lower left", False),
    5: ("upper left", True),
    6: ("upper right", True),
    7: ("lower right", True),
    8: ("lower left", True),
}


def bright_corner(image):
    corners = {
        "upper left": image[2, 2],
        "upper right": image[2, -3],
        "lower left": image[-3, 2],
        "lower right": image[-3, -3],
    }
    (bright,) = [name for name, pixel in corners.items() if pixel.mean() > 200]
    return bright


def refusal(data, limits=LIMITS):
    with pytest.raises(ImageRejected) as caught:
        decode(data, limits)
    assert str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize("value", ORIENTATIONS)
@pytest.mark.parametrize(
    "make",
    [
        pictures.oriented_jpeg,
        pictures.oriented_png,
        pictures.oriented_webp,
        lambda value: pictures.oriented_webp(value, prefix=b"Exif\0\0"),
    ],
    ids=["jpeg", "png", "webp", "webp with JPEG's prefix"],
)
def test_orientation_is_applied_once(make, value):
    corner, swapped = ORIENTATIONS[value]
    image = decode(make(value), LIMITS)
    assert image.shape == ((60, 40, 3) if swapped else (40, 60, 3))
    assert bright_corner(image) == corner


@pytest.mark.parametrize(
    ("extension", "parameters"),
    [(".jpg", ()), (".png", ()), (".webp", ()), (".webp", WEBP_LOSSLESS)],
)
def test_header_and_pixels_agree(extension, parameters):
    data = pictures.encoded(extension, pictures.picture(37, 91), *parameters)
    header = read_header(data)
    assert (header.height, header.width) == (37, 91)
    image = decode(data, LIMITS)
    assert image.shape == (37, 91, 3)
    assert image.dtype == np.uint8
    assert image.flags.writeable


@pytest.mark.parametrize(
    "image",
    [
        pictures.picture()[:, :, 0],
        pictures.picture().astype(np.uint16) * 257,
        np.dstack([pictures.picture(), np.full((40, 60), 128, np.uint8)]),
    ],
    ids=["grey", "16 bit", "alpha"],
)
def test_other_pixel_formats_become_bgr_of_8_bits(image):
    decoded = decode(pictures.encoded(".png", image), LIMITS)
    expected = image[:, :, None].repeat(3, 2) if image.ndim == 2 else image[:, :, :3]
    expected = expected // 257 if image.dtype == np.uint16 else expected
    assert np.abs(decoded.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("make", [pictures.bomb_png, pictures.bomb_jpeg, pictures.bomb_webp])
def test_a_bomb_is_refused_before_decoding(make):
    with pytest.raises(ImageRejected) as caught:
        inspect(make(16000), LIMITS)
    assert caught.value.reason == "too_many_pixels"


@pytest.mark.parametrize(("height", "width"), [(1, 500), (500, 1), (1, 1), (7, 64)])
@pytest.mark.parametrize("extension", [".png", ".jpg", ".webp"])
def test_strips_are_degenerate(height, width, extension):
    assert refusal(pictures.encoded(extension, pictures.picture(height, width))) == "degenerate"


@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_truncated_pictures_are_corrupt(extension, share):
    noise = np.random.default_rng(0).integers(0, 255, (80, 80, 3), np.uint8)
    data = pictures.encoded(extension, noise)
    assert refusal(data[: int(len(data) * share)]) == "corrupt"


def test_what_opencv_itself_refuses_is_corrupt(monkeypatch):
    assert refusal(pictures.bomb_png(60)) == "corrupt"

    def out_of_memory(*_):
        raise cv2.error

    monkeypatch.setattr("ml.images.decoding.cv2.imdecode", out_of_memory)
    assert refusal(pictures.encoded(".webp")) == "corrupt"


def test_limits_and_foreign_bytes():
    data = pictures.encoded(".jpg")
    assert refusal(b"") == "empty"
    assert refusal(data, ImageLimits(len(data) - 1, 10**6)) == "too_many_bytes"
    assert refusal(data, ImageLimits(len(data), 40 * 60 - 1)) == "too_many_pixels"
    assert decode(data, ImageLimits(len(data), 40 * 60)).shape == (40, 60, 3)
    assert refusal(b"GIF89a" + bytes(100)) == "unsupported_format"
    assert refusal(pictures.encoded(".bmp")) == "unsupported_format"


def test_of_an_animation_the_first_frame_counts():
    animation = cv2.Animation()
    animation.frames = [np.full((32, 48, 3), level, np.uint8) for level in (200, 10)]
    animation.durations = np.array([100, 100])
    for extension in (".webp", ".png"):
        _, data = cv2.imencodeanimation(extension, animation)
        image = decode(data.tobytes(), LIMITS)
        assert image.shape == (32, 48, 3)
        assert abs(int(image.mean()) - 200) <= 3


def test_encoding_keeps_the_picture():
    image = pictures.picture()
    again = decode(encode_jpeg(image, 95), LIMITS)
    assert np.abs(again.astype(int) - image).mean() < 3


def test_hostile_files_are_decoded_or_refused(shared):
    outcomes = {}
    for path in sorted((shared / "data/hostile").iterdir()):
        try:
            outcomes[path.name] = decode(path.read_bytes(), LIMITS).shape[2]
        except ImageRejected as error:
            outcomes[path.name] = error.reason
    assert outcomes["pillow__pil_sample_cmyk.jpg"] == 3
    assert outcomes["pillow__hopper_orientation_8.webp"] == 3
    assert outcomes["pillow__transparent.png"] == 3
    assert outcomes["sharp__truncated.jpg"] == "corrupt"
    assert outcomes["sharp__truncated.png"] == "corrupt"
    assert outcomes["compreface__empty.png"] == "unsupported_format"
    assert outcomes["compreface__einstein.gif"] == "unsupported_format"


VALID = [
    pictures.encoded(".jpg"),
    pictures.encoded(".png"),
    pictures.encoded(".webp"),
    pictures.encoded(".webp", None, *WEBP_LOSSLESS),
    pictures.oriented_jpeg(6),
    pictures.oriented_png(6),
    pictures.oriented_webp(6, prefix=b"Exif\0\0"),
]


@st.composite
def mutilated(draw):
    """A valid picture with bytes overwritten, cut out, put in, and its end cut off."""
    data = bytearray(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.integers(0, 6))):
        # Headers are short and matter most: half of the strokes fall on the first 64 bytes.
        reach = draw(st.sampled_from([64, len(data)]))
        place = draw(st.integers(0, max(min(reach, len(data)) - 1, 0)))
        stroke = draw(st.sampled_from(["overwrite", "cut", "insert"]))
        patch = draw(st.binary(min_size=1, max_size=8) | st.just(b"\xff" * 4))
        end = place + len(patch) if stroke != "insert" else place
        data[place:end] = b"" if stroke == "cut" else patch
    return bytes(data[: draw(st.integers(0, len(data)) | st.just(len(data)))])


@given(mutilated() | st.binary(max_size=200))
def test_no_bytes_do_anything_but_decode_or_be_refused(data):
    limits = ImageLimits(10**6, 10**6)
    try:
        image = decode(data, limits)
    except ImageRejected as error:
        assert error.reason
    else:
        assert image.dtype == np.uint8
        assert image.ndim == 3
        assert image.shape[0] * image.shape[1] <= limits.max_pixels
