"""Pictures that are small on the wire and large, slow or broken for who decodes them."""

import io
import struct
import zlib
from random import Random

import cv2
import numpy as np
from PIL import Image

from tests.unit.ml.pictures import PNG_SIGNATURE, encoded, png_chunk


def jpeg_segment(marker, data):
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data


def scan_bomb(side, scans):
    """A progressive JPEG whose every scan of ten bytes and more goes over the whole picture.

    Bits are sent one by one, and then all again: nothing in that is against the rules.
    """
    blocks = ((side + 7) // 8) ** 2
    runs = -(-blocks // 32767)
    bits = "".join("0" + "1" * 14 for _ in range(runs))
    bits += "1" * (-len(bits) % 8)
    body = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\x00")

    def scan(first, last, approximation):
        return jpeg_segment(0xDA, bytes([1, 1, 0, first, last, approximation]))

    def bit(left):
        low = left % 14
        return scan(1, 63, low if low == 13 or left == scans - 1 else (low + 1) << 4 | low)

    one_code = bytes([1] + [0] * 15)
    return b"".join(
        (
            b"\xff\xd8",
            jpeg_segment(0xDB, b"\0" + bytes([1] * 64)),
            jpeg_segment(0xC2, struct.pack(">BHHB", 8, side, side, 1) + bytes([1, 0x11, 0])),
            jpeg_segment(0xC4, b"\x00" + one_code + b"\x00"),
            jpeg_segment(0xC4, b"\x10" + one_code + b"\xe0"),
            scan(0, 0, 0x00) + bytes(-(-blocks // 8)),
            *(bit(left) + body for left in reversed(range(scans))),
            b"\xff\xd9",
        )
    )


def png(width, height, *, between=b"", depth=8, colour=2, interlaced=0, raw=None):
    """A black PNG, with other chunks before its pixels."""
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    raw = bytes(height * (1 + (width * samples * depth + 7) // 8)) if raw is None else raw
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    return b"".join(
        (
            PNG_SIGNATURE,
            png_chunk(b"IHDR", header),
            between,
            png_chunk(b"IDAT", zlib.compress(raw, 1)),
            png_chunk(b"IEND", b""),
        )
    )


def text_bomb(kind, count):
    """A PNG whose texts inflate to 8 MB each."""
    head = {b"zTXt": b"k\0\0", b"iTXt": b"k\0\1\0\0\0"}[kind]
    chunk = png_chunk(kind, head + zlib.compress(bytes(7_900_000), 9))
    return png(64, 64, between=chunk * count)


def profile_bomb():
    """A PNG whose colour profile of 1 MB inflates to 1 GB."""
    deflate = zlib.compressobj(9)
    zeros = b"".join(deflate.compress(bytes(1 << 24)) for _ in range(64)) + deflate.flush()
    return png(64, 64, between=png_chunk(b"iCCP", b"k\0\0" + zeros))


def with_jpeg_segments(data, segment, count):
    """A JPEG with a segment put in behind its first marker, so many times."""
    return data[:2] + segment * count + data[2:]


def nested_thumbnails(depth):
    """A JPEG with a JPEG in its EXIF data, with a JPEG in its EXIF data ..."""
    picture = encoded(".jpg", np.full((16, 16, 3), 90, np.uint8))
    for _ in range(depth):
        inner = b"Exif\0\0" + picture
        if len(inner) > 60_000:
            break
        picture = with_jpeg_segments(encoded(".jpg"), jpeg_segment(0xE1, inner), 1)
    return picture


def saved(image, kind, **options):
    """Encode by Pillow, which writes what OpenCV does not."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def smooth(height, width, seed=0):
    """A picture of soft colours, quickly made and well compressed."""
    small = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def animated(kind, height, width, count):
    frames = [Image.fromarray(smooth(height, width, seed)) for seed in range(count)]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=50)


def odd_pictures():
    """Valid, but unlike what a camera sends."""
    picture = smooth(480, 640)
    return {
        "grey": encoded(".jpg", picture[:, :, 0]),
        "16 bit": encoded(".png", picture.astype(np.uint16) * 257),
        "16 bit with alpha, interlaced": png(320, 240, depth=16, colour=6),
        "CMYK": saved(Image.fromarray(picture).convert("CMYK"), "JPEG"),
        "CMYK, progressive": saved(
            Image.fromarray(picture).convert("CMYK"), "JPEG", progressive=True
        ),
        "palette": saved(Image.fromarray(picture).quantize(16), "PNG"),
        "one bit": saved(Image.fromarray(picture).convert("1"), "PNG"),
        "animated PNG": animated("PNG", 120, 160, 5),
        "animated WebP": animated("WEBP", 120, 160, 5),
        "lossless WebP": encoded(".webp", picture, cv2.IMWRITE_WEBP_QUALITY, 101),
        "progressive": encoded(".jpg", picture, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        "huge EXIF": with_jpeg_segments(
            encoded(".jpg", picture), jpeg_segment(0xE1, b"Exif\0\0" + bytes(65_000)), 60
        ),
        "huge profile": with_jpeg_segments(
            encoded(".jpg", picture), jpeg_segment(0xE2, b"ICC_PROFILE\0" + bytes(65_000)), 60
        ),
        "nested thumbnails": nested_thumbnails(20),
        "1 x N": encoded(".png", np.zeros((1, 30_000, 3), np.uint8)),
        "N x 1": encoded(".png", np.zeros((30_000, 1, 3), np.uint8)),
        "8 x N": encoded(".png", np.zeros((8, 30_000, 3), np.uint8)),
        "N x 8": encoded(".png", np.zeros((30_000, 8, 3), np.uint8)),
        "8 x 65535": encoded(".png", np.zeros((8, 65_535, 3), np.uint8)),
    }


def bombs():
    """Images that are refused, or harmless, because of a special check."""
    return {
        "scans of 49 megapixels": scan_bomb(7000, 20_000),
        "scans without number": scan_bomb(64, 400_000),
        "zTXt": text_bomb(b"zTXt", 500),
        "iTXt": text_bomb(b"iTXt", 500),
        "profile": profile_bomb(),
        "chunks without number": png(64, 64, between=png_chunk(b"tEXt", b"k\0v") * 400_000),
        "empty IDATs": png(64, 64, between=png_chunk(b"IDAT", b"") * 400_000),
        "more pixels than said": png(64, 64, raw=bytes(200 << 20)),
        "fill bytes": b"\xff\xd8" + b"\xff" * 7_000_000,
        "segments without number": b"\xff\xd8" + jpeg_segment(0xFE, b"") * 1_500_000,
        "WebP chunks": b"RIFF\xff\xff\xff\x7fWEBPVP8X"
        + struct.pack("<I", 10)
        + bytes(4)
        + b"\x3f\0\0" * 2
        + (b"ABCD" + bytes(4)) * 800_000,
    }


def mutated(data, random: Random):
    """A valid picture with bits turned, parts cut out, doubled, moved, or lengths that lie."""
    picture = bytearray(data)
    for _ in range(random.randint(1, 5)):
        if len(picture) < 16:
            break
        # Headers are short and matter most.
        reach = random.choice((64, 700, len(picture)))
        place = random.randrange(min(reach, len(picture)))
        length = random.choice((1, 2, 4, 16, 300))
        part = picture[place : place + length]
        match random.choice(("bit", "lie", "cut", "double", "move", "splice", "truncate")):
            case "bit":
                picture[place] ^= 1 << random.randrange(8)
            case "lie":
                lie = random.choice(
                    (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\1")
                )
                picture[place : place + len(lie)] = lie
            case "cut":
                del picture[place : place + length]
            case "double":
                picture[place:place] = part
            case "move":
                del picture[place : place + length]
                other = random.randrange(len(picture) + 1)
                picture[other:other] = part
            case "splice":
                picture[place:place] = random.choice(
                    (b"\xff\xd8\xff\xd9", b"\xff\xda\0\x0c", png_chunk(b"fdAT", bytes(20)), b"ANMF")
                )
            case "truncate":
                del picture[max(16, place) :]
    return bytes(picture)


def seeds():
    """Small valid pictures to be mutated: every format, and every way of coding it."""
    picture = smooth(48, 64)
    return [
        encoded(".jpg", picture),
        encoded(".jpg", picture, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        encoded(".jpg", picture, cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
        saved(Image.fromarray(picture).convert("CMYK"), "JPEG"),
        nested_thumbnails(2),
        encoded(".png", picture),
        encoded(".png", picture.astype(np.uint16) * 257),
        saved(Image.fromarray(picture).quantize(16), "PNG"),
        animated("PNG", 48, 64, 3),
        png(48, 64, between=png_chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(1000)))),
        encoded(".webp", picture),
        encoded(".webp", picture, cv2.IMWRITE_WEBP_QUALITY, 101),
        animated("WEBP", 48, 64, 3),
    ]
