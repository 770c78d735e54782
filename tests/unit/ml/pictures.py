"""Small encoded pictures, made by hand where no encoder makes them."""

import struct
import zlib

import cv2
import numpy as np

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def picture(height=40, width=60):
    """Dark, with one bright corner at the upper left, which shows its orientation."""
    image = np.full((height, width, 3), 30, np.uint8)
    image[: height // 4, : width // 4] = (250, 240, 230)
    return image


def encoded(extension, image=None, *parameters):
    image = picture() if image is None else image
    return cv2.imencode(extension, image, parameters)[1].tobytes()


def tiff_orientation(value):
    return b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + struct.pack("<HHI", value, 0, 0)


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def oriented_jpeg(value):
    plain, exif = encoded(".jpg"), b"Exif\0\0" + tiff_orientation(value)
    return plain[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + plain[2:]


def oriented_png(value):
    plain = encoded(".png")
    return plain[:33] + png_chunk(b"eXIf", tiff_orientation(value)) + plain[33:]


def oriented_webp(value, prefix=b""):
    exif = prefix + tiff_orientation(value)
    canvas = struct.pack("<I", 59)[:3] + struct.pack("<I", 39)[:3]
    body = b"".join(
        (
            b"WEBPVP8X" + struct.pack("<I", 10) + bytes([8, 0, 0, 0]) + canvas,
            encoded(".webp")[12:],
            b"EXIF" + struct.pack("<I", len(exif)) + exif + b"\0" * (len(exif) % 2),
        )
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def bomb_png(side):
    """A PNG header that promises side x side pixels, and nothing behind it."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return PNG_SIGNATURE + png_chunk(b"IHDR", header) + png_chunk(b"IEND", b"")


def bomb_jpeg(side):
    data = bytearray(encoded(".jpg"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", side, side)
    return bytes(data)


def bomb_webp(side):
    data = bytearray(oriented_webp(1))
    data[24:30] = struct.pack("<I", side - 1)[:3] * 2
    return bytes(data)
