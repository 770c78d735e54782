"""What a detect worker remembers of each camera: its paths, its tracks, and what it last showed.

All of it is a cache: without it, faces are embedded, and tracks begin again.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from uuid import UUID, uuid4

from domain.arrays import FloatArray, GreyImage
from domain.events import ImageEvent
from ml.tracking.motion import difference
from ml.tracking.paths import FollowPolicy, Paths, Step, expected, follow, hold, lose
from ml.tracking.seen_faces import SeenFace
from ml.tracking.tracks import EmbeddedFace, Track, TrackPolicy, settle
from streams.contract.message import Partition

#: Cameras that a worker remembers; beyond, the one that was silent for longest is forgotten.
CAMERAS = 4096

# Frames of a camera that are recognised if they come again.
_RECENT_FRAMES = 64

# A camera's clock was set back if so many frames in a row are older than what came before, each not
# older than the last; fewer are late.
_SET_BACK_FRAMES = 10


@dataclass(frozen=True, slots=True)
class TrackingPolicy:
    """How faces are followed. Times in seconds.

    Attributes:
        follow: the rules for boxes.
        tracks: the rules for embeddings.
        motion: whether frames are compared with those before; if not, each is searched as a whole.
        motion_by_camera: the same for single cameras, with precedence.
        search_interval: between two searches of a whole frame while something changes; between
            them only the surroundings of known faces are searched.
        search_interval_still: the same while nothing changes; between them nothing is searched.
    """

    follow: FollowPolicy = field(default_factory=FollowPolicy)
    tracks: TrackPolicy = field(default_factory=TrackPolicy)
    motion: bool = True
    motion_by_camera: Mapping[str, bool] = field(default_factory=dict)
    search_interval: float = 0.2
    search_interval_still: float = 0.5


class Plan(Enum):
    """What is done with a frame."""

    #: Late or repeated: its faces are found and embedded, and it changes nothing.
    ALONE = "alone"
    #: The whole frame is searched, and its faces are followed.
    SEARCH = "search"
    #: The same, but the picture has changed as a whole, so that no position counts.
    CUT = "cut"
    #: It is searched near the faces of the last frame.
    NEARBY = "nearby"
    #: It shows what the last frame showed, and has its faces.
    HOLD = "hold"


#: Plans by which the detector sees the whole frame.
WHOLE = frozenset({Plan.ALONE, Plan.SEARCH, Plan.CUT})


@dataclass(frozen=True, slots=True)
class Followed:
    """The faces of a frame, as far as boxes say.

    Attributes:
        faces: in pixels of the frame.
        steps: what is done with each.
        alive: the paths that later frames can refer to, besides new ones.
    """

    faces: Sequence[SeenFace] = ()
    steps: Sequence[Step] = ()
    alive: frozenset[int] = frozenset()


class FollowedCamera:
    """One camera: its frames are planned, then followed, then settled, each in their order.

    Attributes:
        quiet: the last frame showed nothing new.
        broken: frames that were planned were lost, so that its state is of no use.
    """

    def __init__(self, policy: TrackingPolicy, camera: str) -> None:
        """Remember nothing yet."""
        # Tracks of workers that see the same frames, one after the other, have different names.
        self._namespace = uuid4()
        self.quiet = False
        self.broken = False
        self._policy = policy
        self._motion = policy.motion_by_camera.get(camera, policy.motion)
        self._paths = Paths()
        self._tracks: dict[int, Track] = {}
        # By which model the last frame was followed, and by which it was settled: batches overlap.
        self._followed_by: str | None = None
        self._settled_by: str | None = None
        self._embedded: frozenset[int] = frozenset()
        self._former: dict[int, UUID] = {}
        self._reference: GreyImage | None = None
        self._searched_at = 0.0
        self._strayed = False
        self._size = (0, 0)
        self._last_at = float("-inf")
        self._older_at = float("-inf")
        self._older = 0
        self._followed_at = float("-inf")
        self._recent: deque[UUID] = deque(maxlen=_RECENT_FRAMES)

    @property
    def compares(self) -> bool:
        """Whether its frames are compared with those before."""
        return self._motion

    def plan(self, event: ImageEvent, size: tuple[int, int], thumbnail: GreyImage | None) -> Plan:
        """Say what is done with the next frame.

        Args:
            event: the frame.
            size: its height and width.
            thumbnail: of `ml.tracking.motion.thumbnail`; None if the camera does not compare.
        """
        at = event.at.timestamp()
        if event.uuid in self._recent or self._is_late(at):
            return Plan.ALONE
        self._recent.append(event.uuid)
        before, self._last_at = self._last_at, at
        is_resized, self._size = size != self._size, size
        plan = Plan.CUT if is_resized else Plan.SEARCH
        if thumbnail is not None:
            plan = self._compared(at, before, None if is_resized else self._reference, thumbnail)
        self.quiet = plan is Plan.HOLD
        return plan

    def _is_late(self, at: float) -> bool:
        """Whether frames that came before are later, and the camera's clock was not set back."""
        if at >= self._last_at:
            self._older = 0
            return False
        self._older = self._older + 1 if at >= self._older_at else 1
        self._older_at = at
        if self._older < _SET_BACK_FRAMES:
            return True
        self._older, self._older_at = 0, float("-inf")
        self._reference = None
        return False

    def expected(self, event: ImageEvent) -> list[FloatArray]:
        """Where the faces of the last frame should be in this one, in pixels of the frame."""
        return expected(self._paths, event.at.timestamp(), self._policy.follow)

    def follow(
        self, plan: Plan, event: ImageEvent, faces: Sequence[SeenFace], *, exact: bool, model: str
    ) -> Followed:
        """Continue the paths with a frame.

        After a change of the model each face is due once: its track has no embedding of this one.

        Args:
            plan: of the frame, not `Plan.ALONE`.
            event: the frame.
            faces: what was found in it; for `Plan.HOLD` nothing, as it was not searched.
            exact: whether the whole frame was searched, which gives the better landmarks.
            model: id of the embedder that the frame's faces are embedded by.
        """
        at = event.at.timestamp()
        if at < self._followed_at:
            self._paths = Paths(next_number=self._paths.next_number)
        self._followed_at = at
        steps: list[Step]
        if plan is Plan.HOLD:
            self._paths = hold(self._paths, at)
            faces = [one.face for one in self._paths.seen]
            steps = [Step(one.number, None) for one in self._paths.seen]
        else:
            if plan is Plan.CUT:
                self._paths = lose(self._paths)
            self._paths, steps = follow(self._paths, at, faces, self._policy.follow, exact=exact)
        alive = frozenset(one.number for one in self._paths.all)
        known = self._embedded if model == self._followed_by else frozenset()
        steps = [
            replace(one, due="refresh") if one.due is None and one.path not in known else one
            for one in steps
        ]
        self._followed_by = model
        self._embedded = (known & alive) | {one.path for one in steps}
        return Followed(faces, steps, alive)

    def settle(
        self, followed: Followed, embedded: Mapping[int, EmbeddedFace], model: str
    ) -> list[Track]:
        """Decide which track each face of a frame belongs to.

        A path keeps the name of its track when the model changes, and nothing else of it:
        embeddings of two models do not compare. So does a new path that takes the place of
        another one so soon that no other person can have.

        Args:
            followed: the frame.
            embedded: its due faces, by index.
            model: id of the embedder.
        """
        if model != self._settled_by:
            self._former |= {path: track.id for path, track in self._tracks.items()}
            self._tracks, self._settled_by = {}, model
        tracks, result = settle(
            self._tracks, followed.steps, embedded, self._policy.tracks, self._namespace
        )
        known = {track.id for track in self._tracks.values()}
        for index, step in enumerate(followed.steps):
            before = step.path if step.path in self._former else step.place
            name = None if before is None else self._former.pop(before, None)
            if name is not None and result[index].id not in known:
                tracks[step.path] = result[index] = replace(result[index], id=name)
        self._tracks = {path: one for path, one in tracks.items() if path in followed.alive}
        self._former = {path: one for path, one in self._former.items() if path in followed.alive}
        return result

    def _compared(
        self, at: float, before: float, reference: GreyImage | None, thumbnail: GreyImage
    ) -> Plan:
        """Say how far a frame is searched.

        Args:
            at: its time.
            before: that of the frame before it.
            reference: thumbnail of the last frame that was searched as a whole, if it compares.
            thumbnail: of the frame.
        """
        cut = reference is None
        if reference is not None:
            change = difference(reference, thumbnail)
            cut, waited = change.cut, at - self._searched_at
            # Times that stand still say nothing of what was waited; after a gap no place counts.
            in_time = 0 < at - before <= self._policy.follow.gap
            # Faces that have moved since the whole frame was searched must not be held.
            still = not change.moved and not self._strayed
            if in_time and still and waited < self._policy.search_interval_still:
                return Plan.HOLD
            if in_time and not cut and waited < self._policy.search_interval:
                self._strayed = True
                return Plan.NEARBY
        self._reference, self._searched_at, self._strayed = thumbnail, at, False
        return Plan.CUT if cut else Plan.SEARCH


class FollowedCameras:
    """The cameras of the partitions that a worker has."""

    def __init__(self, policy: TrackingPolicy) -> None:
        """Follow every camera by these rules."""
        self._policy = policy
        self._cameras: OrderedDict[tuple[Partition, str], FollowedCamera] = OrderedDict()

    def get(self, partition: Partition, camera: str) -> FollowedCamera:
        """The state of a camera."""
        key = (partition, camera)
        found = self._cameras.get(key)
        if found is None or found.broken:
            found = self._cameras[key] = FollowedCamera(self._policy, camera)
            if len(self._cameras) > CAMERAS:
                self._cameras.popitem(last=False)
        self._cameras.move_to_end(key)
        return found

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Forget the cameras of revoked partitions."""
        revoked = set(partitions)
        for key in [one for one in self._cameras if one[0] in revoked]:
            del self._cameras[key]
