"""Reads what the tables and the topics have of corrections and unknowns."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import numpy as np
from aiokafka import ConsumerRecord

from agents.unknowns.visit_evidence import grouping_policy
from config.settings import Settings
from domain.decisions.corrections import CorrectionKind
from domain.decisions.grouping import may_be_grouped
from domain.store_rows import Embedding
from infra.maintenance.maintenance_stores import MaintenanceStores
from infra.maintenance.reconcile import Reconciler
from ml.runtime.model_registry import match_policy
from sinks.stores import opened
from streams.contract.people_codec import change_from_json
from streams.contract.topics import Topics
from streams.contract.value_codec import match_from_json
from tests.chaos.corrections.correction_evidence import (
    ChangeMessage,
    CorrectionEvidence,
    FaceMessage,
    LabelledVisit,
    Made,
    Promoted,
    StoredFace,
    StoredPhoto,
    StoredUnknown,
    StoredUser,
)
from tests.chaos.corrections.corrector import Corrector
from tests.chaos.corrections.prepared_people import PreparedPeople
from tests.chaos.evidence import message_digest, open_database, read_topic
from tests.chaos.visits.visit_evidence import Announcement

if TYPE_CHECKING:
    from domain.visit_events import Visit

_MADE = """
SELECT id, kind, user_id, other_user_id, face_id, visit_id, undoes, made_at AS at
FROM corrections WHERE kind NOT IN ('promote', 'dismiss') ORDER BY made_at, id
"""

_PROMOTIONS = """
SELECT target, detail->>'user' AS user_id, detail->>'correction' AS correction, at
FROM audit WHERE action = 'unknown.promote'
ORDER BY id
"""

_FACES = """
SELECT face.id, face.user_id, face.correction_id AS said_by, part.visit_id, part.late,
       face.camera_id, part.at, part.event_id, face.best_face_id IS NULL AS has_embedding,
       face.best_face_id IS NULL AND face.quality >= $1
           AND (face.decision IS NULL OR face.decision NOT IN ('unreliable', 'spoof_suspected'))
           AND face.correction_id IS NULL AS shows
FROM faces AS face LEFT JOIN visit_faces AS part ON part.face_id = face.id
WHERE face.kind = 'frame'
"""

_PHOTOS = "SELECT id, user_id, kind = 'removed' AS is_out FROM faces WHERE id = ANY($1::uuid[])"

_USERS = "SELECT id, is_active, merged_into FROM users WHERE id = ANY($1::uuid[])"

_VISITS = """
SELECT visit_id, user_id, correction_id, reason IS NOT DISTINCT FROM 'merged' AS merged FROM visits
"""

_LEFT = """
SELECT (SELECT count(*) FROM correction_work) AS work,
       (SELECT count(*) FROM people_messages) AS messages
"""


async def unfollowed(settings: Settings) -> list[str]:
    """What is still to be followed or sent of corrections; one line each."""
    async with open_database(settings.main_db.dsn) as main:
        row = await main.fetchrow(_LEFT)
    return [f"{row['work']} corrections are not followed"] * bool(row["work"]) + [
        f"{row['messages']} changes of people wait"
    ] * bool(row["messages"])


async def collect_corrections(
    settings: Settings,
    topics: Topics,
    corrector: Corrector,
    people: PreparedPeople,
    announcements: Sequence[Announcement],
) -> CorrectionEvidence:
    """Everything about corrections and unknowns at present.

    Args:
        settings: past the proxies.
        topics: of the run.
        corrector: what was asked for.
        people: the users who were merged.
        announcements: the messages of ``faces.visits``.
    """
    originals, messages = await _matches(settings, topics)
    changes = [_change(record) async for record in read_topic(settings, topics.people)]
    policy = grouping_policy(settings.unknowns, match_policy("", settings.models))
    async with open_database(settings.main_db.dsn) as main:
        made = await main.fetch(_MADE)
        promotions = await main.fetch(_PROMOTIONS)
        faces = await main.fetch(_FACES, policy.min_quality)
        photos = await main.fetch(_PHOTOS, list(people.photos))
        users = await main.fetch(_USERS, list(people.both))
        visits = await main.fetch(_VISITS)
        kept_faces = await main.fetch("SELECT correction_id, face_id AS one FROM corrected_faces")
        kept_visits = await main.fetch(
            "SELECT correction_id, visit_id AS one FROM corrected_visits"
        )
        unknowns = await main.fetch("SELECT id, state, user_id, visits FROM unknowns")
        members = await main.fetch("SELECT visit_id, unknown_id FROM unknown_members")
    async with open_database(settings.vector_db.dsn) as vector:
        embedded = {
            row["face_id"]: row
            for row in await vector.fetch(
                "SELECT face_id, user_id, set_aside_at IS NOT NULL AS is_out, weight,"
                " embedding::text FROM face_embeddings"
            )
        }
        gallery = await vector.fetch("SELECT user_id, photos, embedding::text FROM gallery")
        exemplars = await vector.fetch(
            "SELECT unknown_id, visit_id, embedding::text FROM unknown_exemplars"
            " WHERE NOT set_aside"
        )
        templates = await vector.fetch(
            "SELECT unknown_id, embedding::text FROM unknown_templates WHERE embedding IS NOT NULL"
        )
    stored_faces = {row["id"]: _face(row, originals, embedded) for row in faces}
    labelled = {
        row["visit_id"]: LabelledVisit(row["user_id"], row["correction_id"], row["merged"])
        for row in visits
    }
    return CorrectionEvidence(
        asked=tuple(corrector.asked),
        promoted=dict(corrector.promoted),
        made=[Made(**(dict(row) | {"kind": CorrectionKind(row["kind"])})) for row in made],
        promotions=[
            Promoted(
                UUID(row["target"].removeprefix("unknown:")),
                UUID(row["user_id"]),
                row["at"],
                UUID(row["correction"]),
            )
            for row in promotions
        ],
        faces=stored_faces,
        photos={row["id"]: _photo(row, embedded) for row in photos},
        users=_users(users, gallery, people, embedded),
        visits=labelled,
        kept_faces=_grouped(kept_faces),
        kept_visits=_grouped(kept_visits),
        changes=changes,
        face_messages=messages,
        unknowns=_unknowns(unknowns, exemplars, templates),
        members={row["visit_id"]: row["unknown_id"] for row in members},
        groupable=_groupable(settings, announcements, stored_faces, labelled),
        left=await unfollowed(settings),
        faults=await _faults(settings),
    )


async def _matches(
    settings: Settings, topics: Topics
) -> tuple[dict[UUID, UUID | None], list[FaceMessage]]:
    """Whom each face was at first, and the messages of corrected faces."""
    originals: dict[UUID, UUID | None] = {}
    messages = []
    async for record in read_topic(settings, topics.matches):
        match = match_from_json(record.value)
        if not match.correction_id:
            originals.setdefault(match.face_id, match.user_id)
            continue
        messages.append(
            FaceMessage(
                id=dict(record.headers)["ce_id"].decode(),
                face_id=match.face_id,
                user_id=match.user_id,
                correction_id=match.correction_id,
                supersedes=None if match.supersedes is msgspec.UNSET else match.supersedes,
                digest=message_digest(record.key, record.value, record.headers),
            )
        )
    return originals, messages


def _change(record: ConsumerRecord) -> ChangeMessage:
    name = dict(record.headers)["ce_id"].decode()
    digest = message_digest(record.key, record.value, record.headers)
    return ChangeMessage(name, change_from_json(record.value), digest)


def _face(
    row: Any, originals: Mapping[UUID, UUID | None], embedded: Mapping[UUID, Any]
) -> StoredFace:
    own = embedded.get(row["id"])
    at = row["at"]
    return StoredFace(
        original=originals.get(row["id"]),
        user_id=row["user_id"],
        said_by=row["said_by"],
        visit_id=row["visit_id"],
        late=bool(row["late"]),
        frame=None if at is None else (row["camera_id"], at, row["event_id"]),
        embedded_for=None if own is None else own["user_id"],
        has_embedding=own is not None,
        shows=row["shows"] and own is not None,
    )


def _photo(row: Any, embedded: Mapping[UUID, Any]) -> StoredPhoto:
    template = embedded.get(row["id"])
    return StoredPhoto(
        row["user_id"],
        row["is_out"],
        None if template is None else template["user_id"],
        template is not None and template["is_out"],
    )


def _users(
    users: Sequence[Any],
    gallery: Sequence[Any],
    people: PreparedPeople,
    embedded: Mapping[UUID, Any],
) -> dict[UUID, StoredUser]:
    found = {}
    entries = {row["user_id"]: row for row in gallery}
    for row in users:
        entry = entries.get(row["id"])
        counting = [
            float(photo["weight"]) * _vector(photo["embedding"])
            for face_id in people.photos
            if (photo := embedded.get(face_id)) is not None
            and photo["user_id"] == row["id"]
            and not photo["is_out"]
        ]
        template = None if entry is None else entry["embedding"]
        found[row["id"]] = StoredUser(
            is_active=row["is_active"],
            merged_into=row["merged_into"],
            photos=0 if entry is None else entry["photos"],
            in_gallery=template is not None,
            mean_differs=template is not None and _differs(template, counting),
        )
    return found


def _unknowns(
    unknowns: Sequence[Any], exemplars: Sequence[Any], templates: Sequence[Any]
) -> dict[UUID, StoredUnknown]:
    made_of: dict[UUID, dict[UUID, Embedding]] = defaultdict(dict)
    for row in exemplars:
        made_of[row["unknown_id"]][row["visit_id"]] = _vector(row["embedding"])
    stored = {row["unknown_id"]: row["embedding"] for row in templates}
    return {
        row["id"]: StoredUnknown(
            state=row["state"],
            user_id=row["user_id"],
            counted=row["visits"],
            exemplars=frozenset(made_of[row["id"]]),
            in_gallery=row["id"] in stored,
            template_differs=row["id"] in stored
            and _differs(stored[row["id"]], list(made_of[row["id"]].values())),
        )
        for row in unknowns
    }


def _groupable(
    settings: Settings,
    announcements: Sequence[Announcement],
    faces: Mapping[UUID, StoredFace],
    visits: Mapping[UUID, LabelledVisit],
) -> list[UUID]:
    """Visits that the rules group, as they were announced last."""
    policy = grouping_policy(settings.unknowns, match_policy("", settings.models))
    last: dict[UUID, Visit] = {}
    for one in announcements:
        before = last.setdefault(one.visit.visit_id, one.visit)
        last[one.visit.visit_id] = max(before, one.visit, key=lambda visit: visit.revision)
    shown = {face.visit_id for face in faces.values() if face.shows and not face.late}
    return [
        visit_id
        for visit_id, visit in last.items()
        if may_be_grouped(visit, policy) and visit_id in shown and visits[visit_id].user_id is None
    ]


async def _faults(settings: Settings) -> list[str]:
    """What the reconciler would repair, with no grace for what is young."""
    maintenance = settings.maintenance.model_copy(update={"grace": 0.0})
    settings = settings.model_copy(update={"maintenance": maintenance})
    async with opened(MaintenanceStores.of(settings)) as stores:
        counts = await Reconciler(stores, settings, True, lambda _what, _count: None).run()
    return [f"{count.found} times {count.fault.value}" for count in counts if count.found]


def _grouped(rows: Sequence[Any]) -> dict[UUID, set[UUID]]:
    found: dict[UUID, set[UUID]] = defaultdict(set)
    for row in rows:
        found[row["correction_id"]].add(row["one"])
    return dict(found)


def _differs(template: str, parts: Sequence[Embedding]) -> bool:
    """Whether a template is not the mean of its parts, of length 1."""
    if not parts:
        return True
    mean = np.sum(parts, axis=0, dtype=np.float64)
    return not np.allclose(_vector(template), mean / np.linalg.norm(mean), atol=1e-4)


def _vector(text: str) -> Embedding:
    return np.array(text.strip("[]").split(","), np.float32)
