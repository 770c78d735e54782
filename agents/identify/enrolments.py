"""Uploads that become templates, and uploads that are refused."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import numpy as np

from agents.identify import effects
from agents.identify.effects import EventEffects
from agents.identify.galleries import Galleries
from agents.upload_policies import upload_policy
from domain.decisions.enrolment import EnrolmentPolicy, refusal_of
from domain.events import DetectedFaces, EventKind
from domain.refusal_codes import is_settled
from domain.store_rows import EnrolStatus, LedgerRow, Outcome, UserRow
from domain.upload_answers import decode_answer
from domain.upload_events import USER_INACTIVE
from sinks.main.ledger import Claim
from sinks.stores import Stores


class Enrolments:
    """Enrols photos, and decides whether a refusal is final."""

    def __init__(self, stores: Stores, galleries: Galleries, policy: EnrolmentPolicy) -> None:
        """Enrol into these stores by this policy; ``galleries`` load the new templates."""
        self._stores = stores
        self._galleries = galleries
        self._policy = policy

    async def enrol(self, claim: Claim, photos: Sequence[DetectedFaces]) -> list[EventEffects]:
        """Enrol or refuse each photo; their users are locked by the claim."""
        users = await self._stores.records.users(effects.users_of(photos) & claim.users)
        return [await self._enrol(found, users) for found in photos]

    def refuse_unreadable(self, images: Sequence[DetectedFaces]) -> list[EventEffects]:
        """Refuse the searches whose photo the detect worker refused."""
        return [
            effects.refused(found, found.refusal, self._rules(found))
            for found in images
            if found.event.kind is EventKind.SEARCH and found.refusal is not None
        ]

    def is_final(self, row: LedgerRow, found: DetectedFaces) -> bool:
        """Whether a row of the ledger is final by the present rules."""
        if row.outcome is not Outcome.REFUSED or row.answer is None:
            return True
        answer = decode_answer(row.answer)
        return answer is None or is_settled(answer.code, answer.policy, self._rules(found))

    def _rules(self, found: DetectedFaces) -> str:
        return upload_policy(found.policy, self._policy)

    async def _enrol(self, found: DetectedFaces, users: Mapping[UUID, UserRow]) -> EventEffects:
        user_id = effects.user_of(found.event)
        user = None if user_id is None else users.get(user_id)
        refusal = found.refusal or refusal_of(found.faces, self._policy)
        if refusal is None and user is not None and not user.is_active:
            refusal = USER_INACTIVE
        if refusal is not None or user is None:
            why = refusal or effects.UNKNOWN_USER
            return effects.refused(found, why, self._rules(found), users=users)
        return await self._make_template(found, user.id)

    async def _make_template(self, found: DetectedFaces, user_id: UUID) -> EventEffects:
        event, (face,) = found.event, found.faces
        embedding = np.frombuffer(face.embedding, "<f4")
        await self._galleries.get(found.model, embedding.size)
        enrolment = await self._stores.vectors.enrol(
            face_id=event.face_id(found.model, 0),
            user_id=user_id,
            model=found.model,
            embedding=embedding,
            captured_at=event.captured_at,
        )
        if enrolment.status is EnrolStatus.ERASED:
            return effects.refused(found, effects.UNKNOWN_USER)
        await self._galleries.refresh(found.model)
        return effects.enrolled(found, user_id, enrolment.photos)
