"""Follows the faces of cameras, and embeds only those that tell something new.

1. decode the frame, no larger than detection needs
2. compare it with the last one: what shows nothing new is not searched, or only near known faces
3. detect
4. follow the faces by their boxes; those that are new, doubtful or clearly better are due
5. decode the frames with due faces in full size, and embed these faces
6. settle which track each face belongs to; the others have their track's embedding
7. of a frame in shadow, add what the models say that do not decide
8. add the frame itself where a face is the best one of its track: a visit may be shown by it
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from agents.detect import detected_faces
from agents.detect.every_face import Found
from agents.detect.followed_cameras import WHOLE, Followed, FollowedCamera, FollowedCameras, Plan
from agents.detect.image_reading import ImageReader, Opened, Part, Unreadable, split
from agents.detect.liveness_checks import EmbeddedIn, LivenessChecks
from agents.detect.model_lanes import ModelLanes
from agents.detect.ordered_batches import Step, Turn
from agents.detect.other_embeddings import OtherEmbeddings
from config.observability import metrics
from domain.arrays import GreyImage, Image
from domain.events import DetectedFace, DetectedFaces
from domain.failures import Retry
from domain.liveness_result import Liveness
from ml.images.reduced_decoding import decode_grey, decode_reduced, divisor
from ml.recognition.face_analyser import AnalysedFace, FoundFace
from ml.tracking.frame_detector import MOST_FACES, Nearby
from ml.tracking.motion import LONG_SIDE, thumbnail
from ml.tracking.seen_faces import SeenFace
from ml.tracking.tracks import EmbeddedFace


@dataclass(slots=True, eq=False)
class _Frame:
    """A frame on its way.

    Attributes:
        opened: its message.
        camera: where its faces are followed; None where they are not.
        small: uint8 (h, w, 3), as large as detection needs; None until it is decoded.
        grey: uint8 (h, w), for the comparison; None if it is not compared.
        size: height and width of the full picture, upright.
        plan: what is done with it.
        found: what the detector found, in pixels of the full picture; None if it did not look.
        nearby: whether it looked only near known faces.
        followed: its faces, and what is done with each.
        described: the faces that were embedded, by index.
        checked: whether these are people, by index.
        full: uint8 (H, W, 3), the picture in full size; None if no face was due.
        shows_best: whether a face is the best one of its track, or has no track.
    """

    opened: Opened
    camera: FollowedCamera | None
    small: Image | None = None
    grey: GreyImage | None = None
    size: tuple[int, int] = (0, 0)
    plan: Plan = Plan.ALONE
    found: list[SeenFace] | None = None
    nearby: bool = False
    followed: Followed = field(default_factory=Followed)
    described: dict[int, AnalysedFace] = field(default_factory=dict)
    checked: dict[int, Liveness | None] = field(default_factory=dict)
    full: Image | None = None
    shows_best: bool = False

    @property
    def due(self) -> list[int]:
        """Indices of the faces that are embedded."""
        if self.plan is Plan.ALONE:
            return list(range(len(self.followed.faces)))
        return [index for index, step in enumerate(self.followed.steps) if step.due]


class FollowedFaces:
    """Finds the faces of frames in the order of each camera's frames."""

    def __init__(
        self,
        reader: ImageReader,
        lanes: ModelLanes,
        checks: LivenessChecks,
        others: OtherEmbeddings,
        cameras: FollowedCameras,
    ) -> None:
        """Use this reader and these models.

        Args:
            reader: decodes.
            lanes: the models.
            checks: whether faces are people.
            others: what the models say that do not decide.
            cameras: what is remembered of each camera.
        """
        self._reader = reader
        self._lanes = lanes
        self._checks = checks
        self._others = others
        self._cameras = cameras
        self._long_side = lanes.long_side

    async def find(self, part: Part) -> Found:
        """Find the faces of frames, in the order of each camera's frames.

        All memory for decoding is kept: frames with due faces are decoded once more, in full size.
        """
        frames = [_Frame(one, self._camera_of(one, part.turn)) for one in part.images]
        try:
            return await self._find(frames, part)
        except BaseException:  # also if it is cancelled: frames that were planned have no result
            for frame in frames:
                if frame.camera is not None:
                    frame.camera.broken = True
            raise

    def _camera_of(self, opened: Opened, turn: Turn) -> FollowedCamera | None:
        """The camera, if its frames come in order: those without a key are in any partition."""
        message = opened.message
        if message.key not in turn.keys:
            return None
        return self._cameras.get(message.partition, opened.envelope.event.key)

    async def _find(self, frames: Sequence[_Frame], part: Part) -> Found:
        with metrics.stage("decode"):
            good, unreadable = split(await asyncio.gather(*map(self._read, frames)))
        await part.turn.come(Step.COMPARE)
        for frame in good:
            if frame.camera is not None:
                event = frame.opened.envelope.event
                frame.plan = frame.camera.plan(event, frame.size, frame.grey)
        part.passed(Step.COMPARE)
        await self._search([one for one in good if one.plan in WHOLE])
        await part.turn.come(Step.FOLLOW)
        for some in _rounds(good):
            await self._follow(some)
        part.passed(Step.FOLLOW)
        await self._embed(good)
        await part.turn.come(Step.SETTLE)
        if any(_is_lost(frame) for frame in good):
            raise Retry("earlier frames of a camera failed, and its faces cannot be followed")
        results = [(frame.opened, self._settled(frame)) for frame in good]
        part.passed(Step.SETTLE)
        results = await asyncio.gather(*map(self._with_others, good, results))
        with_snapshots = await asyncio.gather(*map(self._with_snapshot, good, results))
        return with_snapshots, unreadable

    async def _read(self, frame: _Frame) -> _Frame | Unreadable:
        """Decode a frame; of a camera that showed nothing new, at first its brightness alone."""
        camera = frame.camera
        if camera is None or not (camera.compares and camera.quiet):
            return await self._decode(frame)
        opened = frame.opened
        grey = await self._reader.run(opened, partial(_brightness, opened))
        if isinstance(grey, Unreadable):
            return grey
        frame.grey, frame.size = grey
        return frame

    async def _decode(self, frame: _Frame) -> _Frame | Unreadable:
        """Decode a frame as large as detection needs."""
        opened = frame.opened
        is_compared = frame.grey is None and frame.camera is not None and frame.camera.compares
        decoded = await self._reader.run(
            opened, partial(_picture, opened, self._long_side, compared=is_compared)
        )
        if isinstance(decoded, Unreadable):
            return decoded
        frame.small, grey = decoded
        frame.size = _full_size(frame.small, divisor(opened.header, self._long_side))
        frame.grey = grey if is_compared else frame.grey
        return frame

    async def _search(self, frames: Sequence[_Frame]) -> None:
        """Find the faces of whole frames."""
        await self._decode_all(frames)
        found = await self._lanes.find([(_small(one), self._number(one)) for one in frames])
        for frame, faces in zip(frames, found, strict=True):
            frame.found = faces

    async def _search_nearby(self, frames: Sequence[_Frame]) -> None:
        """Find the faces of frames near those of the last ones; where one is missing, the whole.

        Where no face is known, whatever has changed may be one.
        """
        expected = [
            (frame, frame.camera.expected(frame.opened.envelope.event))
            for frame in frames
            if frame.camera is not None
        ]
        near = [(frame, places) for frame, places in expected if 0 < len(places) <= MOST_FACES]
        await self._decode_all([frame for frame, _ in near])
        found = await self._lanes.find_nearby(
            [Nearby(_small(frame), self._number(frame), places) for frame, places in near]
        )
        for (frame, _), faces in zip(near, found, strict=True):
            frame.found, frame.nearby = faces, faces is not None
        await self._search([frame for frame, _ in expected if frame.found is None])

    async def _follow(self, frames: Sequence[_Frame]) -> None:
        """Follow the faces of frames, each of another camera."""
        for frame in frames:
            if frame.camera is not None and frame.camera.broken:
                frame.plan = Plan.ALONE
        await self._search([one for one in frames if one.plan in WHOLE and one.found is None])
        await self._search_nearby([one for one in frames if one.plan is Plan.NEARBY])
        for frame in frames:
            faces = frame.found or []
            if frame.camera is None or frame.plan is Plan.ALONE:
                frame.followed = Followed(faces)
            else:
                event = frame.opened.envelope.event
                exact = not frame.nearby
                frame.followed = frame.camera.follow(
                    frame.plan, event, faces, exact=exact, model=self._lanes.model
                )

    async def _decode_all(self, frames: Sequence[_Frame]) -> None:
        """Decode those frames of which only the brightness is known."""
        wanted = [one for one in frames if one.small is None]
        for one in await asyncio.gather(*map(self._decode, wanted)):
            if isinstance(one, Unreadable):
                raise one.failure  # it was readable in shades of grey

    def _number(self, frame: _Frame) -> int:
        return divisor(frame.opened.header, self._long_side)

    async def _embed(self, frames: Sequence[_Frame]) -> None:
        """Embed the due faces of all frames in one call."""
        due = [one for one in frames if one.due]
        pictures = await asyncio.gather(*map(self._full, due))
        wanted = [
            (frame, index, FoundFace(picture, face.box, face.landmarks, face.score))
            for frame, picture in zip(due, pictures, strict=True)
            for index, face in ((number, frame.followed.faces[number]) for number in frame.due)
        ]
        described = await self._lanes.describe([face for _, _, face in wanted])
        for (frame, index, _), face in zip(wanted, described, strict=True):
            frame.described[index] = face
        checked = await self._checks.check(
            [
                EmbeddedIn(frame.opened.envelope.event, face.image, face.box)
                for frame, _, face in wanted
            ]
        )
        for (frame, index, _), liveness in zip(wanted, checked, strict=True):
            frame.checked[index] = liveness
        for frame, picture in zip(due, pictures, strict=True):
            frame.full = picture

    async def _with_others(
        self, frame: _Frame, result: tuple[Opened, DetectedFaces]
    ) -> tuple[Opened, DetectedFaces]:
        """The result of a frame, with what the models say that do not decide."""
        if frame.full is None:
            return result
        opened, found = result
        # Of a frame whose faces are not followed, all are embedded, in this order.
        return opened, await self._others.add(frame.full, frame.described, found)

    async def _with_snapshot(
        self, frame: _Frame, result: tuple[Opened, DetectedFaces]
    ) -> tuple[Opened, DetectedFaces]:
        """The result of a frame, with the frame itself where that may show a visit best."""
        if frame.full is None or not frame.shows_best:
            return result
        opened, found = result
        return opened, await self._reader.with_snapshot(opened, frame.full, found)

    async def _full(self, frame: _Frame) -> Image:
        """The frame in full size."""
        if frame.small is not None and frame.small.shape[:2] == frame.size:
            return frame.small
        picture = await self._reader.decode(frame.opened)
        if isinstance(picture, Unreadable):
            raise picture.failure  # it was readable in a smaller size
        return picture

    def _settled(self, frame: _Frame) -> DetectedFaces:
        """The result of a frame; call it in the order of the frames."""
        event, model = frame.opened.envelope.event, self._lanes.model
        mode = self._checks.mode(event)
        faces: list[DetectedFace]
        if frame.camera is None or frame.plan is Plan.ALONE:
            faces = [
                detected_faces.seen(frame.described[index], mode, frame.checked[index])
                for index in frame.due
            ]
            frame.shows_best = bool(faces)
        else:
            embedded = {
                index: EmbeddedFace(
                    event.face_id(model, index),
                    face.embedding,
                    face.quality.score,
                    face.quality.reliable,
                    frame.checked[index],
                )
                for index, face in frame.described.items()
            }
            tracks = frame.camera.settle(frame.followed, embedded, model)
            frame.shows_best = any(
                tracks[index].best.face_id == face.face_id for index, face in embedded.items()
            )
            faces = [
                detected_faces.seen(frame.described[index], mode, frame.checked[index], track)
                if index in frame.described
                else detected_faces.followed(face, mode, track)
                for index, (face, track) in enumerate(
                    zip(frame.followed.faces, tracks, strict=True)
                )
            ]
            metrics.FACES_FOLLOWED.inc(len(faces) - len(embedded))
            metrics.FRAMES_UNCHANGED.inc(frame.plan is Plan.HOLD)
        height, width = frame.size
        return DetectedFaces(
            event=event, model=model, width=width, height=height, faces=tuple(faces)
        )


def _brightness(opened: Opened) -> tuple[GreyImage, tuple[int, int]]:
    """A frame's thumbnail, from its brightness alone, and the size of the full picture."""
    grey = decode_grey(opened.data, opened.header, LONG_SIDE)
    return thumbnail(grey), _full_size(grey, divisor(opened.header, LONG_SIDE))


def _picture(opened: Opened, long_side: int, *, compared: bool) -> tuple[Image, GreyImage | None]:
    """A frame as large as detection needs, and its thumbnail if it is compared."""
    small = decode_reduced(opened.data, opened.header, long_side)
    return small, thumbnail(small) if compared else None


def _rounds(frames: Sequence[_Frame]) -> list[list[_Frame]]:
    """The frames in runs with one of each camera, because each follows the one before."""
    rounds: list[list[_Frame]] = []
    count: dict[FollowedCamera, int] = {}
    for frame in frames:
        number = count.get(frame.camera, 0) if frame.camera is not None else 0
        if frame.camera is not None:
            count[frame.camera] = number + 1
        if number == len(rounds):
            rounds.append([])
        rounds[number].append(frame)
    return rounds


def _is_lost(frame: _Frame) -> bool:
    """Whether its faces were followed from frames that failed since."""
    return frame.camera is not None and frame.camera.broken and frame.plan is not Plan.ALONE


def _small(frame: _Frame) -> Image:
    """The frame as large as detection needs, once it is decoded."""
    if frame.small is None:
        raise ValueError("the frame is not decoded")
    return frame.small


def _full_size(picture: Image | GreyImage, number: int) -> tuple[int, int]:
    """Height and width of the picture that was decoded at a fraction of its size."""
    return picture.shape[0] * number, picture.shape[1] * number
