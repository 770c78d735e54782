"""Uploads that become templates, and uploads that are refused."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

import numpy as np

from agents.galleries import Galleries
from agents.identify import effects
from agents.identify.effects import EventEffects
from agents.upload_policies import upload_policy
from domain.decisions.enrolment import ChosenFace, EnrolmentPolicy, choose_face
from domain.decisions.likeness import LikenessPolicy, Unlikely, unlikely
from domain.decisions.template_weight import template_weight
from domain.events import DetectedFace, DetectedFaces, EventKind, Refusal
from domain.refusals.refusal_codes import is_settled
from domain.store_rows import Embedding, EnrolStatus, LedgerRow, Outcome, UserRow
from domain.upload_answers import decode_answer
from domain.upload_events import PHOTO_REMOVED, PROMOTION_UNDONE, USER_INACTIVE
from sinks.main.ledger import Claim
from sinks.store_errors import StoreRejected
from sinks.stores import Stores

logger = logging.getLogger(__name__)

#: Number of candidates that a photo is compared with: its own user, and the others that count, of
#: whom some may be erased at this moment.
_CANDIDATES = 8


def compares_nothing(_model: str) -> None:
    """Photos are compared with no template."""


class Enrolments:
    """Enrols photos, and decides whether a refusal is final."""

    def __init__(
        self,
        stores: Stores,
        galleries: Galleries,
        policy: EnrolmentPolicy,
        likeness: Callable[[str], LikenessPolicy | None] = compares_nothing,
    ) -> None:
        """Enrol into these stores by this policy.

        Args:
            stores: the four sinks.
            galleries: compare photos, and load the new templates.
            policy: what a photo must have.
            likeness: by model, how alike a photo and the templates must be.
        """
        self._stores = stores
        self._galleries = galleries
        self._policy = policy
        self._likeness = likeness

    async def enrol(self, claim: Claim, photos: Sequence[DetectedFaces]) -> list[EventEffects]:
        """Enrol or refuse each photo; their users are locked by the claim."""
        users = await self._stores.records.users(effects.users_of(photos) & claim.users)
        # A correction holds the users, too, so none is made before the commit.
        withdrawn = await self._stores.records.withdrawn_photos(
            [(found.event.uuid, found.event.captured_at) for found in photos]
        )
        return [
            await self._withdraw(found, why, users)
            if (why := withdrawn.get(found.event.uuid))
            else await self._enrol(claim, found, users)
            for found in photos
        ]

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
        if answer is not None and answer.code == PHOTO_REMOVED.code:
            return found.event.captured_at <= row.processed_at
        return answer is None or is_settled(answer.code, answer.policy, self._rules(found))

    def _rules(self, found: DetectedFaces) -> str:
        return upload_policy(
            found.policy, self._policy, self._likeness(found.model), force=found.event.force
        )

    async def _withdraw(
        self, found: DetectedFaces, why: Refusal, users: Mapping[UUID, UserRow]
    ) -> EventEffects:
        """Refuse a photo that was withdrawn after it was sent in."""
        if why is PROMOTION_UNDONE:  # an earlier attempt may have begun
            for index in range(len(found.faces)):
                face_id = found.event.face_id(found.model, index)
                await self._stores.vectors.remove_template(face_id)
        return effects.refused(found, why, self._rules(found), users=users)

    async def _enrol(
        self, claim: Claim, found: DetectedFaces, users: Mapping[UUID, UserRow]
    ) -> EventEffects:
        user_id = effects.user_of(found.event)
        user = None if user_id is None else users.get(user_id)
        chosen = found.refusal or choose_face(
            found.faces, self._policy, (found.width, found.height)
        )
        if isinstance(chosen, ChosenFace) and user is not None and not user.is_active:
            chosen = USER_INACTIVE
        if isinstance(chosen, Refusal) or user is None:
            why = chosen if isinstance(chosen, Refusal) else effects.UNKNOWN_USER
            return effects.refused(found, why, self._rules(found), users=users)
        return await self._make_template(claim, found, chosen, user.id)

    async def _make_template(
        self, claim: Claim, found: DetectedFaces, chosen: ChosenFace, user_id: UUID
    ) -> EventEffects:
        """Compare the photo with the gallery, and add it to what it was compared with."""
        face, face_id = chosen.face, found.event.face_id(found.model, chosen.index)
        embedding = np.frombuffer(face.embedding, "<f4")
        await self._galleries.get(found.model, embedding.size)
        weight = template_weight(face.quality)
        await claim.hold_face(face_id)
        while True:
            revision = await self._galleries.refresh(found.model)
            problem = await self._unlikely(claim, found, embedding, user_id)
            # An earlier attempt may have enrolled the photo and ended before its commit: what it
            # decided is final.
            if problem is not None and not await self._stores.vectors.has_template(
                face_id, found.model
            ):
                return effects.refused(
                    found, problem.refusal, self._rules(found), users={user_id}, unlikely=problem
                )
            enrolment = await self._stores.vectors.enrol(
                face_id=face_id,
                user_id=user_id,
                model=found.model,
                embedding=embedding,
                captured_at=found.event.captured_at,
                weight=weight,
                at_revision=revision if self._is_compared(found) and problem is None else None,
            )
            if enrolment.status is not EnrolStatus.OUTDATED:
                break
        if enrolment.status is EnrolStatus.ERASED:
            return effects.refused(found, effects.UNKNOWN_USER)
        await self._copy_template(face_id, face)
        await self._galleries.refresh(found.model)
        return effects.enrolled(found, chosen, user_id, enrolment.photos, weight)

    def _is_compared(self, found: DetectedFaces) -> bool:
        return self._likeness(found.model) is not None and not found.event.force

    async def _unlikely(
        self, claim: Claim, found: DetectedFaces, embedding: Embedding, user_id: UUID
    ) -> Unlikely | None:
        """Why the photo is probably not of this user; the other user is held by the claim."""
        policy = self._likeness(found.model)
        if policy is None or found.event.force:
            return None
        gallery = await self._galleries.get(found.model, embedding.size)
        own = gallery.template(user_id)
        (candidates,) = await asyncio.to_thread(gallery.search, embedding[None], _CANDIDATES)
        others = [one for one in candidates if one.user_id != user_id]
        close = {one.user_id for one in others if one.similarity >= policy.another}
        held = await claim.hold(close)
        return unlikely(
            None if own is None else float(own @ embedding),
            [one for one in others if one.user_id in held],
            policy,
        )

    async def _copy_template(self, face_id: UUID, face: DetectedFace) -> None:
        """Add the templates of models that do not decide: they may, later or again."""
        for model, data in face.other_embeddings.items():
            embedding = np.frombuffer(data, "<f4")
            try:
                await self._galleries.get(model, embedding.size)
                await self._stores.vectors.copy_template(face_id, model, embedding)
            except StoreRejected as error:  # a backfill adds it, with the right dimension
                logger.warning("a photo has no template of %s: %s", model, error)
