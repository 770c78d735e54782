"""What cameras see, and who is where in it: clips of people, put on the time line of a camera.

A scene is made of appearances: a person's clip, from when to when, in one of the places next to
each other. A clip is played forwards and backwards, so that a person can stay longer than the clip
lasts. Where a place has no person, it shows the room of one of the clips; while all are empty, the
camera sends one frame a second, as one that only sends what moves.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from benchmarks.images.visits import PERSON, empty_room, with_person
from benchmarks.load.frames import JPEG_QUALITY, Picture
from benchmarks.video.clips import CLIP_RATE, SensorNoise, side_by_side, there_and_back
from benchmarks.visits.clip_labels import HEAD, SIGNERS, WALKERS, WALKING_RATE
from infra.cameras.encoding import JpegEncoder

#: Frames a second; lower rates are some of these.
RATE = 25

#: Seconds of the empty room before the first and after the last person.
_MARGIN = 1.0

_HEIGHT, _PLACE_WIDTH = 480, 640
_SLIDING = 120.0
_ENLARGED = 2

# Half the width of a signer's face, as a share of the width: a face that is cut may be found.
_HALF_FACE = 0.1

Clips = Mapping[str, Sequence[Picture]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a person's head is in a frame: between two shares of the width."""

    person: str
    left: float
    right: float


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame, and who is in it.

    Attributes:
        at: seconds since the scene's beginning.
        jpeg: the picture.
        places: the people whose faces are in it.
    """

    at: float
    jpeg: bytes
    places: Sequence[Place]


@dataclass(frozen=True, slots=True)
class Appearance:
    """A person at a place.

    Attributes:
        clip: which clip shows it.
        begin: seconds.
        end: seconds.
        place: the index of the place, from the left.
    """

    clip: str
    begin: float
    end: float
    place: int = 0

    @property
    def person(self) -> str:
        """Who it is."""
        return SIGNERS[self.clip]


@dataclass(frozen=True, slots=True)
class Scene:
    """What one camera sees.

    Attributes:
        name: of the scene.
        kind: what it is an example of.
        appearances: who is seen.
        places: how many are next to each other.
        sliding: whether people slide in from the side and out again.
    """

    name: str
    kind: str
    appearances: Sequence[Appearance]
    places: int = 1
    sliding: bool = False

    def frames(self, clips: Clips) -> Iterator[Frame]:
        """The frames, `RATE` a second; while it is empty, one a second."""
        end = max(one.end for one in self.appearances) + _MARGIN
        stage = _Stage(self, clips)
        for number in range(round((end + _MARGIN) * RATE)):
            at = number / RATE
            seen = [one for one in self.appearances if one.begin <= at - _MARGIN < one.end]
            if seen or number % RATE == 0:
                yield stage.frame(at, seen)


@dataclass(frozen=True, slots=True)
class Walk:
    """The clip of two people who walk, enlarged; they come closer and go back again.

    Attributes:
        name: of the scene.
        kind: what it is an example of.
        seconds: how long.
    """

    name: str = "walking"
    kind: str = "walking"
    seconds: float = 12.0

    def frames(self, clips: Clips) -> Iterator[Frame]:
        """The frames, `RATE` a second."""
        clip, encoder = clips[self.name], JpegEncoder(JPEG_QUALITY)
        noise = SensorNoise(_ENLARGED * clip[0].shape[1], _ENLARGED * clip[0].shape[0])
        places = [Place(*walker) for walker in WALKERS]
        for number in range(round(self.seconds * RATE)):
            at = number / RATE
            small = clip[there_and_back(round(at * WALKING_RATE), len(clip))]
            large = cv2.resize(
                small, None, fx=_ENLARGED, fy=_ENLARGED, interpolation=cv2.INTER_CUBIC
            )
            yield Frame(at, encoder.encode(noise.on(np.asarray(large, np.uint8))), places)


class _Stage:
    """Puts the frames of a scene together."""

    def __init__(self, scene: Scene, clips: Clips) -> None:
        self._scene = scene
        self._clips = clips
        self._width = max(_PLACE_WIDTH, 320 * scene.places)
        self._encoder = JpegEncoder(JPEG_QUALITY)
        self._noise = SensorNoise(self._width, _HEIGHT)
        self._rooms = {name: empty_room(clip[0]) for name, clip in clips.items()}
        self._first = scene.appearances[0].clip

    def frame(self, at: float, seen: Sequence[Appearance]) -> Frame:
        """The frame of a moment, with these people."""
        if self._scene.sliding and seen:
            return self._slid(at, seen[0])
        shown = {one.place: one for one in seen}
        pictures = [
            self._played(at, shown[index]) if index in shown else self._rooms[self._first]
            for index in range(self._scene.places)
        ]
        places = [self._place(one) for one in seen]
        return self._encoded(at, side_by_side(pictures, self._width, _HEIGHT), places)

    def _slid(self, at: float, seen: Appearance) -> Frame:
        """A person who is on the way in, there, or on the way out."""
        width = self._clips[seen.clip][0].shape[1]
        left, right = PERSON
        away = width - round(left * width)
        inside = min(at - _MARGIN - seen.begin, seen.end - at + _MARGIN)
        offset = max(0, round(away - _SLIDING * inside))
        picture = with_person(self._rooms[seen.clip], self._played(at, seen), offset)
        middle = (left + right) / 2 + offset / width
        reach = (HEAD[1] - HEAD[0]) / 2
        in_view = middle - _HALF_FACE < 1
        places = [Place(seen.person, middle - reach, middle + reach)] if in_view else []
        return self._encoded(at, picture, places)

    def _played(self, at: float, seen: Appearance) -> Picture:
        clip = self._clips[seen.clip]
        return clip[there_and_back(round((at - seen.begin) * CLIP_RATE), len(clip))]

    def _place(self, seen: Appearance) -> Place:
        if self._scene.places == 1:
            return Place(seen.person, *HEAD)
        share = 1 / self._scene.places
        return Place(seen.person, seen.place * share, (seen.place + 1) * share)

    def _encoded(self, at: float, picture: Picture, places: Sequence[Place]) -> Frame:
        noisy = self._noise.on(picture) if picture.shape[1] == self._width else picture
        return Frame(at, self._encoder.encode(noisy), places)


#: Clips of each signer that no template was made of.
_SEEN = {
    "signer 1": ("no", "yes"),
    "signer 2": ("bird", "thanks"),
    "signer 3": ("learn", "walk"),
    "signer 4": ("night", "sister"),
    "signer 5": ("want", "want"),
}
_PAUSES = (5, 20, 60)


def scenes() -> list[Scene | Walk]:
    """All scenes.

    - ``stay``: one person stays 16 s, and changes the posture at once every four.
    - ``pause``: everyone comes twice for 2 s, at once or after another person, with pauses.
    - ``together``: two and three people next to each other; one of them comes and goes.
    - ``come and go``: a person comes from the side, stays and leaves, then the next one.
    - ``queue``: one person after the other for 2 s, with 1 s between.
    - ``walking``: two people who walk, far away.
    """
    made: list[Scene | Walk] = [
        Scene(f"stay of {person}", "stay", _stay(one, other))
        for person, (one, other) in _SEEN.items()
    ]
    pairs = list(_SEEN.values())
    for pause in _PAUSES:
        twice = [clip for pair in pairs for clip in pair]
        turns = [clip for one, two in pairwise(pairs) for clip in (one[0], two[0], one[1])]
        made.append(Scene(f"pauses of {pause} s, the same", "pause", _row(twice, 2, pause)))
        made.append(Scene(f"pauses of {pause} s, in turns", "pause", _row(turns, 2, pause)))
    ones, others = [one for one, _ in pairs], [other for _, other in pairs]
    for number in range(3):
        following = (number + 1) % len(pairs)
        made.append(_together(f"two together {number}", [ones[number], others[following]]))
    for number in range(2):
        three = [ones[number], others[number + 1], ones[(number + 2) % len(pairs)]]
        made.append(_together(f"three together {number}", three))
    made.append(Scene("come and go", "come and go", _row(ones[:3], 10, 4), sliding=True))
    made.append(Scene("queue", "queue", _row([*ones, *others], 2, 1)))
    made.append(Walk())
    return made


def _stay(one: str, other: str) -> list[Appearance]:
    return [
        Appearance(clip, 4.0 * turn, 4.0 * turn + 4) for turn, clip in enumerate((one, other) * 2)
    ]


def _row(clips: Sequence[str], seconds: float, pause: float) -> list[Appearance]:
    """One after the other."""
    begins = [number * (seconds + pause) for number in range(len(clips))]
    return [
        Appearance(clip, begin, begin + seconds) for clip, begin in zip(clips, begins, strict=True)
    ]


def _together(name: str, clips: Sequence[str]) -> Scene:
    """All stay for 8 s, but that the last leaves for 3 s."""
    seen = [Appearance(clip, 0, 8, place) for place, clip in enumerate(clips[:-1])]
    last = len(clips) - 1
    seen += [Appearance(clips[-1], 0, 2, last), Appearance(clips[-1], 5, 8, last)]
    return Scene(name, "together", seen, places=len(clips))
