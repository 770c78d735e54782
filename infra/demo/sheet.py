"""The demonstration's contact sheet: which frames, which portraits, which words."""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

import cv2
import numpy as np

from domain.events import utc_now
from infra.demo.contact_sheet import ContactSheet, SheetFace, SheetFrame, SheetPerson
from infra.demo.drawing import Picture
from infra.demo.sightings import Sighting, best_similarity
from infra.terminal.tables import score

TITLE = "Fecapass: who was where"

#: At most so many frames of each camera.
FRAMES_PER_CAMERA = 5

#: A portrait shows so many times the face's longer side.
_PORTRAIT_SCALE = 1.5


def build_sheet(
    seen: Sequence[Sighting], images: Mapping[UUID, bytes], cameras: Sequence[str]
) -> ContactSheet:
    """Choose what the sheet shows.

    Args:
        seen: all faces.
        images: the encoded image of each published event.
        cameras: in the order in which their frames are shown.
    """
    known = [sighting for sighting in seen if sighting.name is not None]
    names = list(dict.fromkeys(sighting.name for sighting in known))
    unknowns = _visits(sighting for sighting in seen if sighting.name is None)
    people = [_card(name, seen, images) for name in names]
    if unknowns:
        people.append(_card(None, seen, images))
    return ContactSheet(
        title=TITLE,
        subtitle=(
            f"{_count(len(names), 'person', 'people')} recognised, "
            f"{_count(_visits(seen), 'visit', 'visits')}, {unknowns} of unknown people, "
            f"{_count(len(cameras), 'camera', 'cameras')}, "
            f"{_count(len(images), 'frame', 'frames')} - "
            f"{utc_now().astimezone():%d %b %Y %H:%M}"
        ),
        people=people,
        frames=[
            frame
            for camera in cameras
            for event in choose_events(_distinct(camera, seen, images))
            if (frame := _frame(event, seen, images)) is not None
        ],
    )


def choose_events(seen: Sequence[Sighting], limit: int = FRAMES_PER_CAMERA) -> list[UUID]:
    """Frames of one camera, spread over the time in which faces were seen.

    Frames with known people if there are any, so that a crowd of unknown people does not hide
    them.
    """
    known = [sighting for sighting in seen if sighting.name is not None]
    events = list(dict.fromkeys(sighting.event for sighting in known or seen))
    if len(events) <= limit:
        return events
    places = np.linspace(0, len(events) - 1, limit).round().astype(int)
    return [events[place] for place in places]


def _distinct(
    camera: str, seen: Sequence[Sighting], images: Mapping[UUID, bytes]
) -> list[Sighting]:
    """What one camera saw, a still that was sent several times being taken once."""
    first: dict[bytes, UUID] = {}
    return [
        sighting
        for sighting in seen
        if sighting.camera == camera
        and first.setdefault(images.get(sighting.event, b""), sighting.event) == sighting.event
    ]


def _card(name: str | None, seen: Sequence[Sighting], images: Mapping[UUID, bytes]) -> SheetPerson:
    members = [sighting for sighting in seen if sighting.name == name]
    where = ", ".join(dict.fromkeys(sighting.camera for sighting in members))
    visits = _count(_visits(members), "visit", "visits")
    lines = [f"{visits}, {_count(len(members), 'face', 'faces')} at {where}"]
    best = best_similarity(members)
    if name is None or best is None:
        return SheetPerson(name, None, lines)
    lines.append(f"similarity {score(best)}")
    portrayed = max(members, key=lambda sighting: sighting.similarity or -1.0)
    return SheetPerson(name, _portrait(portrayed, images), lines)


def _portrait(sighting: Sighting, images: Mapping[UUID, bytes]) -> Picture | None:
    picture = _picture(sighting.event, images)
    if picture is None:
        return None
    x, y, width, height = sighting.box
    half = max(width, height) * _PORTRAIT_SCALE / 2
    centre_x, centre_y = x + width / 2, y + height / 2
    left, top = max(0, round(centre_x - half)), max(0, round(centre_y - half))
    crop = picture[top : round(centre_y + half), left : round(centre_x + half)]
    return crop if crop.size else None


def _frame(
    event: UUID, seen: Sequence[Sighting], images: Mapping[UUID, bytes]
) -> SheetFrame | None:
    picture = _picture(event, images)
    members = [sighting for sighting in seen if sighting.event == event]
    if picture is None or not members:
        return None
    return SheetFrame(
        picture=picture,
        camera=members[0].camera,
        captured_at=members[0].captured_at,
        faces=[SheetFace(member.box, member.name, member.similarity) for member in members],
    )


def _picture(event: UUID, images: Mapping[UUID, bytes]) -> Picture | None:
    data = images.get(event)
    if data is None:
        return None
    # Upright, as the detect agent sees it: OpenCV applies the EXIF orientation.
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return None if picture is None else np.asarray(picture, np.uint8)


def _visits(seen: Iterable[Sighting]) -> int:
    return len({sighting.visit for sighting in seen if sighting.visit is not None})


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
