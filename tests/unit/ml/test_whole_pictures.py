"""What is missing of a picture is never filled in; what is whole is taken, however it ends."""

import re
import struct
from functools import cache
from itertools import pairwise
from random import Random

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from domain.images.image_errors import ImageRejected
from ml.images.decoding import decode
from ml.images.exif import orientation
from tests import decompression_bombs
from tests.unit.ml import pictures
from tests.unit.ml.conftest import LIMITS
from tests.unit.ml.test_images import WEBP_LOSSLESS, refusal

EOI = b"\xff\xd9"
ROTATED = Image.Exif()
ROTATED[0x112] = 6


def outcome(data):
    """The picture, or why it is refused."""
    try:
        return decode(data, LIMITS)
    except ImageRejected as error:
        return error.reason


def same(data, whole):
    return np.array_equal(decode(data, LIMITS), decode(whole, LIMITS))


@cache
def scene():
    """A picture with fine detail everywhere, so that every part of its data matters."""
    noise = np.random.default_rng(7).integers(0, 60, (88, 120, 3), np.uint8)
    return cv2.add(decompression_bombs.smooth(88, 120) // 2, noise)


@cache
def jpegs():
    picture = Image.fromarray(scene())
    return {
        "4:2:0": decompression_bombs.saved(picture, "JPEG", subsampling=2),
        "4:2:2": decompression_bombs.saved(picture, "JPEG", subsampling=1),
        "4:4:4": decompression_bombs.saved(picture, "JPEG", subsampling=0, quality=95),
        "4:1:1": pictures.encoded(
            ".jpg",
            scene(),
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411,
        ),
        "grey": decompression_bombs.saved(picture.convert("L"), "JPEG"),
        "CMYK": decompression_bombs.saved(picture.convert("CMYK"), "JPEG"),
        "RGB": decompression_bombs.saved(picture, "JPEG", keep_rgb=True),
        "optimised": decompression_bombs.saved(picture, "JPEG", optimize=True),
        "restarts": decompression_bombs.saved(picture, "JPEG", restart_marker_rows=1),
        "progressive": decompression_bombs.saved(picture, "JPEG", progressive=True),
        "progressive, restarts": decompression_bombs.saved(
            picture, "JPEG", progressive=True, restart_marker_blocks=5
        ),
        "rotated": decompression_bombs.saved(picture, "JPEG", exif=ROTATED),
    }


@cache
def others():
    picture = Image.fromarray(scene())
    return {
        "PNG": decompression_bombs.saved(picture, "PNG"),
        "PNG, rotated": decompression_bombs.saved(picture, "PNG", exif=ROTATED),
        "PNG, 16 bits": pictures.encoded(".png", scene().astype(np.uint16) * 257),
        "PNG, palette": decompression_bombs.saved(picture.quantize(64), "PNG"),
        "PNG, many chunks": pictures.encoded(".png", np.tile(scene(), (2, 2, 1))),
        "WebP": pictures.encoded(".webp", scene()),
        "WebP, lossless": pictures.encoded(".webp", scene(), *WEBP_LOSSLESS),
        "WebP, rotated": decompression_bombs.saved(picture, "WEBP", exif=ROTATED),
        "WebP, alpha": decompression_bombs.saved(picture.convert("RGBA"), "WEBP"),
        "WebP, animated": decompression_bombs.animated("WEBP", 40, 60, 3),
    }


def jpeg_parts(data):
    """Segments of the header, the last of them a start of scan, as marker and payload; the rest."""
    parts, position = [], 2
    while not parts or parts[-1][0] != 0xDA:
        (length,) = struct.unpack_from(">H", data, position + 2)
        parts.append((data[position + 1], data[position + 4 : position + 2 + length]))
        position += 2 + length
    return parts, data[position:]


def jpeg_of(parts, rest, between=b""):
    head = [decompression_bombs.jpeg_segment(marker, payload) for marker, payload in parts]
    return b"\xff\xd8" + between.join(head) + rest


def test_field_02_the_examples_of_the_field(shared):
    broken, unended = (
        shared / "field" / name for name in ("01-broken-jpeg-accepted", "02-jpeg-without-eoi")
    )
    for path in broken.glob("*.jpg"):
        assert refusal(path.read_bytes()) == "corrupt"
    data = (unended / "no_eoi.jpg").read_bytes()
    assert same(data, data + EOI)
    assert same(data + bytes(512), data + EOI)


JPEG_ENDS = {
    "nothing": b"",
    "EOI": EOI,
    "fill bytes": b"\xff" * 20,
    "fill bytes and EOI": b"\xff" * 5 + EOI,
    "a restart marker": b"\xff\xd3" + EOI,
    "a comment": decompression_bombs.jpeg_segment(0xFE, b"x") + EOI,
    "zeros": bytes(700),
    "zeros and EOI": bytes(7) + EOI,
}


@settings(max_examples=400)
@given(
    st.sampled_from(sorted(jpegs())),
    st.integers(1, 12_000) | st.integers(1, 40),
    st.sampled_from(sorted(JPEG_ENDS)),
)
def test_field_02_a_jpeg_cut_anywhere_is_refused_or_whole(name, missing, end):
    whole = jpegs()[name]
    assume(missing < len(whole) - 3)
    found = outcome(whole[:-missing] + JPEG_ENDS[end])
    if isinstance(found, str):
        return
    expected = decode(whole, LIMITS)
    if "zeros" in end:
        # The first of them may stand for a last byte that is lost, and nothing tells: then the
        # last blocks of the picture differ.
        found, expected = found.copy(), expected.copy()
        corner = np.s_[-32:, -32:] if name != "rotated" else np.s_[-32:, :32]
        found[corner] = expected[corner] = 0
    assert np.array_equal(found, expected)


@settings(max_examples=200)
@given(st.sampled_from(sorted(others())), st.integers(1, 30_000) | st.integers(1, 40))
def test_field_02_a_png_or_webp_cut_anywhere_is_refused_or_whole(name, missing):
    whole = others()[name]
    assume(missing < len(whole) - 12)
    found = outcome(whole[:-missing])
    if isinstance(found, str):
        assert found == "corrupt"
    else:
        assert np.array_equal(found, decode(whole, LIMITS))


@settings(max_examples=100)
@given(st.sampled_from(["PNG", "PNG, 16 bits", "PNG, palette"]), st.data())
def test_field_02_a_png_cut_in_its_pixels_is_refused_or_whole_though_it_has_an_end(name, data):
    """As a program writes that was given half of the pixels: all lengths and checksums right."""
    whole = others()[name]
    head = whole.index(b"IDAT")
    (length,) = struct.unpack_from(">I", whole, head - 4)
    missing = data.draw(st.integers(1, length) | st.integers(1, 20))
    idat = pictures.png_chunk(b"IDAT", whole[head + 4 : head + 4 + length - missing])
    found = outcome(whole[: head - 4] + idat + pictures.png_chunk(b"IEND", b""))
    if isinstance(found, str):
        assert found == "corrupt"
    else:
        assert missing < 8
        assert np.array_equal(found, decode(whole, LIMITS))


@pytest.mark.parametrize("name", ["WebP", "WebP, lossless", "WebP, animated"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_field_02_a_webp_cut_in_its_picture_is_refused_though_its_sizes_are_right(name, share):
    whole = others()[name]
    data = bytearray(whole[: int(len(whole) * share) & ~1])
    chunk = 12
    while (after := chunk + 8 + struct.unpack_from("<I", whole, chunk + 4)[0]) < len(data):
        chunk = after + (after & 1)
    struct.pack_into("<I", data, 4, len(data) - 8)
    struct.pack_into("<I", data, chunk + 4, len(data) - chunk - 8)
    first = decode(whole, LIMITS)
    found = outcome(bytes(data))
    # Of an animation the first picture counts, and may be there.
    assert (found == "corrupt") if isinstance(found, str) else np.array_equal(found, first)
    assert name == "WebP, animated" or isinstance(found, str)


@pytest.mark.parametrize("size", [0, 12, 1 << 20, 0xFFFFFFFF])
@pytest.mark.parametrize("name", [name for name in others() if "WebP" in name])
def test_field_02_a_webp_whose_outer_size_lies_is_judged_by_its_picture(name, size):
    data = bytearray(others()[name])
    struct.pack_into("<I", data, 4, size)
    assert same(bytes(data), others()[name])


@pytest.mark.parametrize("length", [1000, 2500, 10_000])
@pytest.mark.parametrize("filled", [False, True], ids=["a hole", "zeros"])
def test_field_02_a_part_of_a_portrait_that_is_lost_is_seen(shared, length, filled):
    """A few bytes may be lost unseen: nothing in a JPEG checks them."""
    whole = (shared / "field/02-jpeg-without-eoi/no_eoi.jpg").read_bytes()
    random = Random(length)
    for _ in range(20):
        place = random.randrange(2000, len(whole) - length - 100)
        instead = bytes(length) if filled else b""
        assert refusal(whole[:place] + instead + whole[place + length :] + EOI) == "corrupt"


def scans(data):
    """Where each scan of a progressive JPEG ends."""
    markers = [found.start() for found in re.finditer(rb"\xff[\xc4\xda\xd9]", data)]
    starts = [place for place in markers if data[place + 1] == 0xDA]
    return [min(place for place in markers if place > start) for start in starts]


@pytest.mark.parametrize("name", ["progressive", "progressive, restarts"])
def test_field_02_a_progressive_jpeg_that_lacks_scans_is_refused(name):
    """Viewers show it, blurred or without colour; the decoder does not even warn."""
    whole = jpegs()[name]
    ends = scans(whole)
    assert len(ends) > 5
    for end in ends[:-1]:
        assert refusal(whole[:end] + EOI) == "corrupt"
    assert same(whole[: ends[-1]], whole)
    for start, end in pairwise(ends):
        assert refusal(whole[:start] + whole[end:]) == "corrupt"


def flat_jpeg(sampling, *, apart=False, size=64):
    """A flat picture whose codes have one bit each: its data are all zeros.

    Args:
        sampling: of each component.
        apart: one scan for each component, as sequential encoders may have it.
        size: of a side.
    """
    one_code = bytes([1] + [0] * 15) + b"\0"
    most = [max(value >> 4 for value in sampling), max(value & 15 for value in sampling)]
    units = (size // 8 // most[0]) * (size // 8 // most[1])

    def scan(components, blocks):
        names = b"".join(bytes([component + 1, 0]) for component in components)
        header = decompression_bombs.jpeg_segment(
            0xDA, bytes([len(components)]) + names + b"\0\x3f\0"
        )
        bits = units * blocks * 2
        return header + bytes(bits // 8) + (bytes([0xFF >> bits % 8]) if bits % 8 else b"")

    blocks = [(value >> 4) * (value & 15) for value in sampling]
    every = range(len(sampling))
    frame = struct.pack(">BHHB", 8, size, size, len(sampling)) + b"".join(
        bytes([number + 1, value, 0]) for number, value in enumerate(sampling)
    )
    parts = [scan([one], blocks[one]) for one in every] if apart else [scan(every, sum(blocks))]
    head = [(0xDB, b"\0" + bytes([1] * 64)), (0xC0, frame), (0xC4, b"\0" + one_code)]
    return jpeg_of([*head, (0xC4, b"\x10" + one_code)], b"".join(parts)), parts


@pytest.mark.parametrize("sampling", [(0x11,), (0x11, 0x11, 0x11), (0x22, 0x11, 0x11)])
@pytest.mark.parametrize("apart", [False, True])
def test_field_02_data_of_zeros_are_data_where_the_picture_needs_them(sampling, apart):
    data, _ = flat_jpeg(sampling, apart=apart)
    assert np.array_equal(decode(data + EOI, LIMITS), np.full((64, 64, 3), 128))
    assert refusal(data[:-3] + EOI) == "corrupt"


def test_field_02_a_jpeg_that_lacks_the_scan_of_a_colour_is_refused():
    data, parts = flat_jpeg((0x11, 0x11, 0x11), apart=True)
    for part in parts:
        assert refusal(data.replace(part, b"", 1) + EOI) == "corrupt"


def test_field_02_unusual_sampling_is_refused_by_its_name():
    """The strict decoder does not know it, and the other one would fill in what is missing."""
    assert refusal(flat_jpeg((0x42, 0x11, 0x11))[0] + EOI) == "unsupported_format"


def test_field_02_every_whole_jpeg_is_taken_without_its_end(portraits, groups):
    for path in (*portraits, *groups):
        data = path.read_bytes()
        bare = data[: data.rindex(EOI)]
        for end in (b"", bytes(512), b"\xff" * 3, b"\xff" * 3 + EOI, EOI + bytes(9), EOI + data):
            assert same(bare + end, data), path.name


def test_field_02_zeros_do_not_stand_for_a_last_byte_that_is_cut_off(portraits):
    """Encoders fill the last byte up with ones; only where it needs none, may it be zero."""
    for path in portraits:
        data = path.read_bytes()
        end = data.rindex(EOI)
        if data[end - 1]:
            assert refusal(data[: end - 1] + bytes(512)) == "corrupt", path.name


ADOBE = b"Adobe\0d\0\0\0\0"


def odd_headers():
    """JPEGs whose header libjpeg passes, with a warning at most, and the picture is whole."""
    whole = jpegs()["4:2:0"]
    parts, rest = jpeg_parts(whole)
    jfif = parts[0][1]
    scan = parts[-1][1]
    bare = [part for part in parts if part[0] != 0xE0]
    return {
        "zeros between segments": jpeg_of(parts, rest, b"\0\0\0"),
        "fill bytes between segments": jpeg_of(parts, rest, b"\xff" * 5),
        "FF 00 between segments": jpeg_of(parts, rest, b"\xff\0"),
        "text between segments": jpeg_of(parts, rest, b"hello"),
        "a short APP14": jpeg_of([parts[0], (0xEE, ADOBE[:7]), *parts[1:]], rest),
        "an unknown transform": jpeg_of([(0xEE, ADOBE + b"\3"), *bare], rest),
        "an unknown JFIF": jpeg_of([(0xE0, jfif[:5] + b"\x09\x09" + jfif[7:]), *bare], rest),
        "an empty APP0": jpeg_of([(0xE0, b""), *parts], rest),
        "a segment without length": jpeg_of(parts, rest)[:2] + b"\xff\xe5\0\0" + whole[2:],
        "a scan that names no coefficients": jpeg_of(
            [*parts[:-1], (0xDA, scan[:-3] + b"\0\0\0")], rest
        ),
        "the usual tables left out": jpeg_of([one for one in parts if one[0] != 0xC4], rest),
        "a segment behind the data": whole[:-2]
        + decompression_bombs.jpeg_segment(0xE9, b"xyz")
        + EOI,
        "another one behind it": whole + jpegs()["grey"],
        "another one instead of its end": whole[:-2] + jpegs()["grey"],
        "a video behind it": whole + b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 20,
    }


@pytest.mark.parametrize("name", odd_headers())
def test_field_02_odd_headers_are_read_as_decoders_read_them(name):
    assert same(odd_headers()[name], jpegs()["4:2:0"])


def with_surplus(data, most, seed=0):
    """Bytes behind each restart interval, as some webcams leave them."""
    random = Random(seed)
    start = data.index(b"\xff\xda")
    return data[:start] + re.sub(
        rb"\xff[\xd0-\xd7]",
        lambda marker: bytes(random.choices(range(1, 255), k=random.randint(1, most))) + marker[0],
        data[start:],
    )


@pytest.mark.parametrize("most", [1, 10, 16])
def test_field_02_surplus_bytes_behind_restart_intervals_do_no_harm(most):
    whole = jpegs()["restarts"]
    assert same(with_surplus(whole, most), whole)


def test_field_02_a_restart_interval_that_lacks_data_is_refused():
    whole = jpegs()["restarts"]
    markers = [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", whole)]
    assert len(markers) == 5
    for surplus in (0, 3, 16):
        for first, second in pairwise(markers):
            without = whole[:first] + whole[second:]
            short = whole[: second - 100] + whole[second:]
            unmarked = whole[:first] + whole[first + 2 :]
            for data in (without, short, unmarked):
                assert refusal(with_surplus(data, surplus) if surplus else data) == "corrupt"


def test_field_02_a_missing_restart_marker_is_refused_however_little_lay_behind_it():
    """The decoder says no more than it would of a webcam's surplus, and shows grey."""
    data, parts = flat_jpeg((0x11,), size=128)
    interval = decompression_bombs.jpeg_segment(0xDD, struct.pack(">H", 15))
    rows = b"".join(b"\0\0\0\3\xff" + bytes([0xD0 + row % 8]) for row in range(17)) + b"\x3f"
    head = data[: data.index(parts[0])] + interval + parts[0][:10]
    assert decode(head + rows + EOI, LIMITS).shape == (128, 128, 3)
    surplus = rows.replace(b"\xff", b"\1" * 12 + b"\xff")
    assert same(head + surplus + EOI, head + rows + EOI)
    for data in (rows, surplus):
        assert refusal(head + data.replace(b"\xff\xd3", b"", 1) + EOI) == "corrupt"
        assert refusal(head + data[: data.rindex(b"\xff")] + EOI) == "corrupt"


def test_field_02_a_png_without_its_end_is_whole_and_one_with_a_wrong_checksum_is_not():
    whole = others()["PNG, rotated"]
    assert same(whole[:-12], whole)
    assert same(whole[:-1], whole)
    place = whole.index(b"IDAT") + 30
    flipped = bytes([whole[place] ^ 4])
    assert refusal(whole[:place] + flipped + whole[place + 1 :]) == "corrupt"
    assert refusal(whole[:-13] + bytes([whole[-13] ^ 1]) + whole[-12:]) == "corrupt"


def test_field_02_a_second_header_of_a_png_does_not_count():
    whole = others()["PNG"]
    larger = pictures.png_chunk(b"IHDR", struct.pack(">II", 30_000, 30_000) + whole[24:29])
    assert same(whole[:33] + larger + whole[33:], whole)


def test_field_02_a_webp_that_lost_its_orientation_is_refused():
    whole = others()["WebP, rotated"]
    exif = whole.index(b"EXIF")
    for end in (exif, exif + 4, exif + 20, len(whole) - 2):
        assert refusal(whole[:end]) == "corrupt"


def test_field_02_a_webp_that_never_had_the_orientation_it_promises_is_taken():
    """As tools leave it that take EXIF data away: the file ends where it says that it does."""
    whole = others()["WebP, rotated"]
    plain = bytearray(whole[: whole.index(b"EXIF")])
    struct.pack_into("<I", plain, 4, len(plain) - 8)
    without_flag = bytearray(plain)
    without_flag[20] &= ~0x08
    assert same(bytes(plain), bytes(without_flag))


def test_field_02_a_webp_is_no_larger_than_its_canvas():
    """What was looked at before decoding must be what is decoded."""
    whole = others()["WebP, rotated"]
    small = whole[:24] + bytes([7, 0, 0, 7, 0, 0]) + whole[30:]
    assert refusal(small) == "corrupt"
    hollow = bytes([7, 0, 0, 7]) + bytes(4)
    short = whole[:16] + struct.pack("<I", 4) + whole[20:24] + hollow + whole[30:]
    assert refusal(short) == "corrupt"


def tiff(order, kind, value, entries=()):
    mark, sign = {"little": (b"II*\0", "<"), "big": (b"MM\0*", ">")}[order]
    packed = struct.pack(
        sign + ("HHI" if kind == 3 else "I"), *((value, 0, 0) if kind == 3 else (value,))
    )
    own = struct.pack(sign + "HHI", 0x112, kind, 1) + packed[:4]
    every = [*entries, own]
    return mark + struct.pack(sign + "IH", 8, len(every)) + b"".join(every) + bytes(4)


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("kind", [3, 4])
def test_field_02_orientation_is_read_in_both_orders_and_widths(order, kind):
    other = bytes(12)
    for value in range(1, 9):
        assert orientation(tiff(order, kind, value)) == value
        assert orientation(tiff(order, kind, value, [other] * 3)) == value
    assert orientation(tiff(order, kind, 9)) == 1
    whole = tiff(order, kind, 6, [other])
    for length in range(len(whole) - 4):
        assert orientation(whole[:length]) in {1, 6}


def test_field_02_exif_data_behind_xmp_are_found():
    data = jpegs()["rotated"]
    xmp = decompression_bombs.jpeg_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta/>")
    assert same(data[:2] + xmp + data[2:], data)
    assert decode(data, LIMITS).shape == (120, 88, 3)


@pytest.mark.parametrize("folder", ["data/hostile", "data/faces", "field"])
def test_field_18_no_file_makes_a_decoder_write_to_standard_error(shared, folder, capfd):
    for path in (shared / folder).rglob("*"):
        if path.is_file():
            outcome(path.read_bytes())
    assert capfd.readouterr() == ("", "")


def test_field_18_no_mutated_picture_makes_a_decoder_write_to_standard_error(capfd):
    random = Random(18)
    seeds = [*decompression_bombs.seeds(), *jpegs().values(), *others().values()]
    for _ in range(1000):
        outcome(decompression_bombs.mutated(random.choice(seeds), random))
    assert capfd.readouterr() == ("", "")


LIBPNG_WROTE = {
    "depth": (decompression_bombs.png(64, 64, depth=3), "corrupt"),
    "interlacing": (decompression_bombs.png(64, 64, interlaced=7), "corrupt"),
    "filter": (decompression_bombs.png(64, 64, raw=b"\x09" * 64 * 193), "corrupt"),
    "rows missing": (decompression_bombs.png(64, 64, raw=bytes(64 * 100)), "corrupt"),
    "no palette": (decompression_bombs.png(64, 64, colour=3), "corrupt"),
    "rows too many": (decompression_bombs.png(64, 64, raw=bytes(64 * 193 + 5000)), "decoded"),
    "profile": (
        decompression_bombs.png(64, 64, between=pictures.png_chunk(b"iCCP", b"k\0\0junk")),
        "decoded",
    ),
    "transparency": (
        decompression_bombs.png(64, 64, between=pictures.png_chunk(b"tRNS", b"\0")),
        "decoded",
    ),
    "palette": (
        decompression_bombs.png(64, 64, between=pictures.png_chunk(b"PLTE", b"\0\1")),
        "decoded",
    ),
}


@pytest.mark.parametrize("name", LIBPNG_WROTE)
def test_field_18_what_libpng_wrote_about_goes_nowhere(name, capfd):
    data, expected = LIBPNG_WROTE[name]
    found = outcome(data)
    assert (found if isinstance(found, str) else "decoded") == expected
    assert capfd.readouterr() == ("", "")


def png_rows(kind, interlaced):
    """Header of a PNG, and its rows with their filters, in the order in which they are stored."""
    colour, depth = {
        "1 bit": (0, 1), "grey": (0, 8), "grey, 16 bits": (0, 16), "grey, alpha": (4, 8),
        "palette": (3, 8), "colours": (2, 8), "colours, 16 bits": (2, 16), "colours, alpha": (6, 8),
    }[kind]  # fmt: skip
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    width, height = 41, 33
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [
            (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
            (0, 1, 1, 2),
        ]  # fmt: skip
    random = Random(3)
    rows = []
    for left, top, across, down in passes:
        size = (len(range(left, width, across)) * samples * depth + 7) // 8
        rows += [b"\0" + random.randbytes(size) for _ in range(top, height, down)]
    palette = pictures.png_chunk(b"PLTE", bytes(range(256)) * 3) if colour == 3 else b""
    options = {"depth": depth, "colour": colour, "interlaced": interlaced, "between": palette}
    return (width, height), rows, options


@pytest.mark.parametrize("interlaced", [0, 1], ids=["plain", "interlaced"])
@pytest.mark.parametrize(
    "kind",
    [
        "1 bit", "grey", "grey, 16 bits", "grey, alpha", "palette", "colours", "colours, 16 bits",
        "colours, alpha",
    ],
)  # fmt: skip
def test_field_02_a_png_that_was_written_without_all_its_rows_is_refused(kind, interlaced):
    """Its compressed data have an end and are right; a decoder leaves the other rows black."""
    size, rows, options = png_rows(kind, interlaced)
    assert isinstance(
        outcome(decompression_bombs.png(*size, raw=b"".join(rows), **options)), np.ndarray
    )
    black = [*rows[:-2], *(bytes(len(row)) for row in rows[-2:])]
    assert isinstance(
        outcome(decompression_bombs.png(*size, raw=b"".join(black), **options)), np.ndarray
    )
    for missing in (1, 2, len(rows) // 2, len(rows) - 1, len(rows)):
        short = b"".join(rows[: len(rows) - missing])
        assert outcome(decompression_bombs.png(*size, raw=short, **options)) == "corrupt", missing


@pytest.mark.parametrize("width", [3000, 3001])
def test_field_02_a_large_black_png_has_all_its_rows(width):
    """Megabytes out of each piece of its data."""
    assert isinstance(outcome(decompression_bombs.png(width, 2000)), np.ndarray)
    rows = bytes(1999 * (1 + 3 * width))
    assert outcome(decompression_bombs.png(width, 2000, raw=rows)) == "corrupt"
