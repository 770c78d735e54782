"""Whether the same faces are found in frames that are decoded at a fraction of their size."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.images.mosaics import HEIGHTS, Portrait, Tile, mosaic
from benchmarks.inference.angles import person_of, pictures_by_path
from benchmarks.load.frames import JPEG_QUALITY, Picture
from benchmarks.report import Result
from domain.arrays import FloatArray
from infra.cameras.encoding import JpegEncoder
from ml.images.decoding import ImageLimits, decode_inspected, inspect
from ml.images.reduced_decoding import decode_reduced, divisor
from ml.recognition.alignment import align
from ml.recognition.face_analyser import Analyser
from ml.tracking.seen_faces import SeenFace

FULL, REDUCED = "full", "reduced"
MOVED = "full, moved"
LIMITS = ImageLimits(32 * 1024 * 1024, 50_000_000)

_OVERLAP = 0.5
_MOVED_BOX = np.array([1, 1, 0, 0], np.float32)
_BANDS = (0, *HEIGHTS[1::2], 1000)

#: Who an embedding (D,) belongs to; None for an unknown.
Decide = Callable[[FloatArray], str | None]


@dataclass(frozen=True, slots=True, eq=False)
class _Searched:
    """A mosaic, and for each of its faces the one that is found there in each way, if any."""

    picture: Picture
    tiles: Sequence[Tile]
    found: Mapping[str, Sequence[SeenFace | None]]
    false: Mapping[str, int]


def load_portraits(folder: Path, analyser: Analyser) -> list[Portrait]:
    """The pictures of a folder in which one face is found."""
    portraits = []
    for path, picture in pictures_by_path(folder).items():
        (faces,) = analyser.analyse([picture])
        if len(faces) == 1:
            portraits.append(
                Portrait(
                    person_of(path),
                    picture,
                    faces[0].box,
                    faces[0].landmarks,
                    faces[0].embedding,
                )
            )
    return portraits


def search(
    analyser: Analyser, portraits: Sequence[Portrait], size: tuple[int, int], frames: int
) -> list[_Searched]:
    """Search mosaics in each way."""
    width, height = size
    long_side = analyser.frames.long_side
    random = np.random.default_rng(width)
    searched = []
    for _ in range(frames):
        frame, tiles = mosaic(portraits, width, height, max(size) / long_side, random)
        data = JpegEncoder(JPEG_QUALITY).encode(frame)
        header = inspect(data, LIMITS)
        picture = decode_inspected(data, header)
        small = decode_reduced(data, header, long_side)
        moved = np.ascontiguousarray(picture[1:, 1:])
        pictures = {FULL: (picture, 1), REDUCED: (small, divisor(header, long_side))}
        pictures[MOVED] = (moved, 1)
        faces = dict(zip(pictures, analyser.frames.find(list(pictures.values())), strict=True))
        faces[MOVED] = [
            replace(one, box=one.box + _MOVED_BOX, landmarks=one.landmarks + 1)
            for one in faces[MOVED]
        ]
        searched.append(
            _Searched(
                picture,
                tiles,
                {way: [_at(tile, found) for tile in tiles] for way, found in faces.items()},
                {
                    way: sum(not _is_there(one, tiles) for one in found)
                    for way, found in faces.items()
                },
            )
        )
    return searched


def overlap(one: FloatArray, other: FloatArray) -> float:
    """Intersection over union of two boxes (x, y, width, height)."""
    low = np.maximum(one[:2], other[:2])
    high = np.minimum(one[:2] + one[2:], other[:2] + other[2:])
    common = float(np.prod(np.maximum(high - low, 0)))
    return common / (float(np.prod(one[2:]) + np.prod(other[2:])) - common)


def _at(tile: Tile, found: Sequence[SeenFace]) -> SeenFace | None:
    best = max(found, key=lambda one: overlap(one.box, tile.box), default=None)
    return best if best is not None and overlap(best.box, tile.box) >= _OVERLAP else None


def _is_there(face: SeenFace, tiles: Sequence[Tile]) -> bool:
    return any(overlap(face.box, tile.box) >= _OVERLAP for tile in tiles)


def measure_faces(
    analyser: Analyser,
    portraits: Sequence[Portrait],
    sizes: Iterable[tuple[int, int]],
    frames: int,
    decide: Decide,
) -> list[Result]:
    """What each way finds in mosaics, by size and by the height of the faces."""
    results = []
    for size in sizes:
        scale = max(size) / analyser.frames.long_side
        searched = search(analyser, portraits, size, frames)
        name = f"{size[0]}x{size[1]}"
        embedded = {way: _embedded(analyser, searched, way) for way in (FULL, REDUCED, MOVED)}
        tiles = [tile for one in searched for tile in one.tiles]
        heights = np.array([tile.box[3] / scale for tile in tiles])
        for low, high in pairwise(_BANDS):
            band = np.flatnonzero((low <= heights) & (heights < high))
            results += [
                Result(
                    "faces",
                    way,
                    {"size": name, "height": f"{low}-{high}"},
                    _values(tiles, band, faces, embedded[FULL], decide),
                )
                for way, faces in embedded.items()
                if len(band)
            ]
        results += [
            Result(
                "false faces",
                way,
                {"size": name},
                {"false": float(sum(one.false[way] for one in searched))},
            )
            for way in embedded
        ]
    return results


@dataclass(frozen=True, slots=True, eq=False)
class _Embedded:
    landmarks: FloatArray
    embedding: FloatArray


def _embedded(
    analyser: Analyser, searched: Sequence[_Searched], way: str
) -> list[_Embedded | None]:
    """The faces of all tiles, aligned on the full picture."""
    faces: list[_Embedded | None] = []
    for one in searched:
        for face in one.found[way]:
            if face is None:
                faces.append(None)
            else:
                (embedding,) = analyser.embedder.embed([align(one.picture, face.landmarks)])
                faces.append(_Embedded(face.landmarks, embedding))
    return faces


def _values(
    tiles: Sequence[Tile],
    chosen: Iterable[int],
    faces: Sequence[_Embedded | None],
    full: Sequence[_Embedded | None],
    decide: Decide,
) -> dict[str, float]:
    """The results of the chosen faces in one way."""
    rows = [(tiles[index], faces[index], full[index]) for index in chosen]
    seen = [(tile, face) for tile, face, _ in rows if face is not None]
    both = [(face, other) for _, face, other in rows if face is not None and other is not None]
    names = [(decide(face.embedding), tile.portrait.person) for tile, face in seen]
    shifts = [_shift(face.landmarks, tile.landmarks) for tile, face in seen]
    cosines = [float(face.embedding @ tile.portrait.embedding) for tile, face in seen]
    same = [_shift(face.landmarks, other.landmarks) for face, other in both]
    alike = [float(face.embedding @ other.embedding) for face, other in both]
    return {
        "faces": len(rows),
        "recall": len(seen) / len(rows),
        "shift": float(np.median(shifts)) if shifts else 0.0,
        "shift_p95": float(np.quantile(shifts, 0.95)) if shifts else 0.0,
        "cosine": float(np.mean(cosines)) if cosines else 0.0,
        "right": float(sum(name == person for name, person in names)),
        "wrong": float(sum(name not in (None, person) for name, person in names)),
        "same_shift": float(np.median(same)) if same else 0.0,
        "same_cosine": float(np.mean(alike)) if alike else 0.0,
    }


def _shift(landmarks: FloatArray, true: FloatArray) -> float:
    """Mean distance of landmarks, in distances of the eyes."""
    distances = np.linalg.norm(landmarks - true, axis=1)
    return float(distances.mean() / np.linalg.norm(true[0] - true[1]))


def decision(portraits: Sequence[Portrait], threshold: float, margin: float) -> Decide:
    """Identify embeddings, with the portraits enrolled as templates, the best of each person."""
    templates = np.stack([one.embedding for one in portraits])
    people = np.array([one.person for one in portraits])

    def decide(embedding: FloatArray) -> str | None:
        similarities = templates @ embedding
        best = int(np.argmax(similarities))
        others = similarities[people != people[best]]
        sure = similarities[best] >= threshold and similarities[best] - others.max() >= margin
        return str(people[best]) if sure else None

    return decide
