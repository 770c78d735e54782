"""The identify agent: from faces to people, and into every store.

1. what is settled already is not done again (first result wins, whole)
2. who is it?  an exact search of the gallery
3. crops       -> S3
4. embeddings  -> pgvector
5. metadata    -> Postgres, the commit point: a face exists when its row does
6. listing     -> Redis, which may be away
7. event       -> faces.matches
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from uuid import UUID

import numpy as np
from msgspec import structs

from agents.identify import effects
from agents.identify.cache_circuit import CacheBreaker
from agents.identify.effects import EventEffects
from agents.identify.galleries import Galleries
from agents.identify.match_events import matches_of, outgoing
from agents.identify.recognition import Judge, Probe, Recognition
from agents.identify.unannounced import UnannouncedFaces
from agents.upload_policies import upload_policy
from config.observability import metrics
from domain.answers import decode_answer
from domain.decisions.enrolment import EnrolmentPolicy, refusal_of
from domain.decisions.matching import MatchPolicy
from domain.events import DetectedFaces, EventKind, FaceMatch, utc_now
from domain.failures import Reject
from domain.object_keys import uploaded_key
from domain.records import EnrolStatus, EventKey, LedgerRow, Outcome, UserRow
from domain.refusal_codes import is_settled
from domain.refusals import given_up
from domain.upload_events import USER_INACTIVE
from sinks.main.ledger import Claim
from sinks.stores import Stores
from streams.clients.durable_producer import Publisher
from streams.clients.image_producer import upload_keys
from streams.contract.camera_clocks import ClockPolicy
from streams.contract.envelope import DEFAULT_CLOCKS, with_time_that_counts
from streams.contract.message import Message
from streams.contract.topics import Topics
from streams.contract.value_codec import unpack


@dataclass(frozen=True, slots=True)
class Policies:
    """What counts: as a match, by model, and as a photo fit for enrolment."""

    match: Callable[[str], MatchPolicy]
    enrolment: EnrolmentPolicy


class Identify:
    """Handles batches of ``faces.detected``; see `streams.processing.error_handling.Handler`."""

    def __init__(  # noqa: PLR0913 - the parts of a stage, named once, where the worker is built
        self,
        stores: Stores,
        galleries: Galleries,
        publisher: Publisher,
        topics: Topics,
        *,
        policies: Policies,
        executor: Executor,
        clocks: ClockPolicy = DEFAULT_CLOCKS,
    ) -> None:
        """Put the stage together.

        Args:
            stores: the four sinks.
            galleries: this worker's copy of the templates.
            publisher: sends the matches.
            topics: names of the topics.
            policies: the rules of decision.
            executor: where searches run.
            clocks: how far a camera's clock may be off.
        """
        self._stores = stores
        self._galleries = galleries
        self._publisher = publisher
        self._topics = topics
        self._policies = policies
        self._executor = executor
        self._cache = CacheBreaker()
        self._clocks = clocks
        self._untold = UnannouncedFaces()

    async def __call__(self, batch: Sequence[Message]) -> Mapping[Message, Reject]:
        """Bring every event of the batch into the stores and onto ``faces.matches``."""
        refused: dict[Message, Reject] = {}
        rounds: list[dict[EventKey, DetectedFaces]] = [{}]
        for message in batch:
            try:
                faces = self._read(message)
                self._require_dimension(faces)
            except Reject as reject:
                refused[message] = reject
            else:
                key = EventKey(faces.event.uuid, faces.model)
                _place(key, faces, rounds)
        for found in rounds:
            await self._settle(found)
        self._count_dropped(len(batch) - len(refused) - sum(map(len, rounds)))
        return refused

    async def notify_caller(self, message: Message, reject: Reject) -> None:
        """Of an upload somebody awaits the answer: that it is a dead letter, and why.

        Raises:
            StoreUnavailable: the main database is away.
        """
        try:
            faces = self._read(message)
        except Reject:
            return  # nobody can tell whose it is
        if faces.event.kind is EventKind.FRAME:
            return
        failed = structs.replace(faces, faces=(), refusal=given_up(reject.reason))
        await self._settle({EventKey(faces.event.uuid, faces.model): failed})

    def _read(self, message: Message) -> DetectedFaces:
        """A message, whose sender may be of a release before, or no detect worker at all.

        Raises:
            Reject: see `streams.contract.value_codec.unpack`.
        """
        faces = unpack(message.value)
        event = with_time_that_counts(faces.event, message, self._clocks)
        return faces if event is faces.event else structs.replace(faces, event=event)

    def _require_dimension(self, faces: DetectedFaces) -> None:
        """One message of another dimension would spoil the search of its whole batch."""
        known = self._galleries.dimension(faces.model)
        if known is not None and faces.faces and len(faces.faces[0].embedding) != 4 * known:
            raise Reject(
                "wrong_dimension",
                f"embeddings of {len(faces.faces[0].embedding)} bytes; {faces.model} has {known} "
                "dimensions of 4 bytes",
            )

    async def _settle(self, found: Mapping[EventKey, DetectedFaces]) -> None:
        """Decide and store what the ledger does not know; of the rest, tell what was left untold.

        The claim keeps other workers off these events, and holds until the commit is durable.
        """
        async with self._stores.records.claim(found, lambda row: self._stands(row, found)) as claim:
            fresh = [faces for key, faces in found.items() if key not in claim.settled]
            results = await self._decide(fresh)
            await self._store(results)
            with metrics.stage("records"):
                results = await self._without_erased(claim, results)
                written = await claim.commit([one.result for one in results])
                fresh_results = [one for one in results if one.result.key in written]
                # Should the commit or the announcement fail, this batch comes again.
                self._untold.keep(fresh_results)
        own = 0
        for key, row in claim.settled.items():
            await self._tell_again(row)
            own += self._observe(self._untold.take([key]))
        await self._tell(fresh_results)
        self._untold.take(one.result.key for one in fresh_results)
        self._observe(fresh_results)
        self._count_dropped(len(found) - len(written) - own)

    async def _without_erased(
        self, claim: Claim, results: Sequence[EventEffects]
    ) -> list[EventEffects]:
        """Take people out who were erased since they were recognised; nobody can be from here on.

        Their pictures go, too: photos sent in to enrol them, with the crops, and the crops of
        faces that this worker's gallery, a moment behind, took for them.
        """
        named = {person for one in results for person in effects.people_in(one)}
        gone = named - await claim.lock_users(named)
        kept = [effects.without_users(one, gone) for one in results] if gone else list(results)
        staying = {key for one in kept for key, _ in one.crops}
        leaving = {key for one in results for key, _ in one.crops} - staying
        photos = [key for one in kept if self._has_no_user(one, gone) for key in self._photos(one)]
        await self._stores.crops.delete_many([*sorted(leaving), *photos])
        return kept

    def _has_no_user(self, finding: EventEffects, gone: set[UUID]) -> bool:
        """Whether a photo was sent in to enrol somebody whom there is not (any more)."""
        unknown = finding.answer is not None and finding.answer.code == effects.UNKNOWN_USER.code
        return unknown or effects.user_of(finding.result.event) in gone

    def _photos(self, finding: EventEffects) -> list[str]:
        """Keys under which the photo of an upload may lie."""
        named = uploaded_key(finding.result.dataref, self._stores.crops.bucket)
        return [*upload_keys(finding.result.event.uuid), *([named] if named else ())]

    async def _tell_again(self, row: LedgerRow) -> None:
        """A worker may have ended between the commit and the announcement; finish its work."""
        if row.answer is not None:
            await self._answer([(row.key, row.answer)])
        if row.announced or row.outcome is Outcome.OTHER:
            return  # what a later release has to tell, its workers tell
        matches = await matches_of(self._stores.records, row)
        await self._announce(matches, [EventKey(row.event_uuid, row.model)])

    async def _decide(self, found: Sequence[DetectedFaces]) -> list[EventEffects]:
        """Say of every event what it comes to."""
        uploads = [faces for faces in found if faces.event.kind is EventKind.ENROL]
        others = [
            faces
            for faces in found
            if faces.event.kind is not EventKind.ENROL and faces.refusal is None
        ]
        unreadable = [
            effects.refused(faces, faces.refusal, self._policy(faces))
            for faces in found
            if faces.event.kind is EventKind.SEARCH and faces.refusal is not None
        ]
        return [
            *unreadable,
            *await self._enrol(uploads),
            *await self._recognise(others),
        ]

    async def _recognise(self, found: Sequence[DetectedFaces]) -> list[EventEffects]:
        """Frames and searches: who is it?"""
        answers: list[EventEffects] = []
        by_model = sorted(found, key=lambda faces: faces.model)
        for model, group in groupby(by_model, key=lambda faces: faces.model):
            answers += await self._recognise_with(model, list(group))
        return answers

    async def _recognise_with(
        self, model: str, found: Sequence[DetectedFaces]
    ) -> list[EventEffects]:
        policy = self._policies.match(model)
        probes = [
            Probe(np.frombuffer(face.embedding, "<f4"), reliable=face.reliable)
            for faces in found
            for face in faces.faces
        ]
        recognitions: list[Recognition] = []
        if probes:
            gallery = await self._galleries.get(model, probes[0].embedding.size)
            recognitions = await Judge(gallery, policy).recognise(probes, self._executor)
        remaining = iter(recognitions)
        answers = []
        for faces in found:
            own = [next(remaining) for _ in faces.faces]
            if faces.event.kind is EventKind.SEARCH:
                answers.append(effects.searched(faces, own, policy))
            else:
                answers.append(effects.seen(faces, own))
        return answers

    async def _enrol(self, found: Sequence[DetectedFaces]) -> list[EventEffects]:
        """Photos to be enrolled: those that are fit become templates, the others are refused."""
        users = await self._users_of(found)
        answers: list[EventEffects] = []
        for faces in found:
            refusal = faces.refusal or refusal_of(faces.faces, self._policies.enrolment)
            user = users.get(faces.event.subject or "")
            if refusal is None and user is not None and not user.is_active:
                refusal = USER_INACTIVE
            if refusal is not None or user is None:
                why = refusal or effects.UNKNOWN_USER
                answers.append(effects.refused(faces, why, self._policy(faces)))
            else:
                answers.append(await self._enrol_one(faces, user.id))
        return answers

    def _stands(self, row: LedgerRow, found: Mapping[EventKey, DetectedFaces]) -> bool:
        """Whether what the ledger says of an event is the last word, by the rules in force."""
        if row.outcome is not Outcome.REFUSED or row.answer is None:
            return True
        answer = decode_answer(row.answer)
        faces = found[EventKey(row.event_uuid, row.model)]
        return answer is None or is_settled(answer.code, answer.policy, self._policy(faces))

    def _policy(self, faces: DetectedFaces) -> str:
        return upload_policy(faces.policy, self._policies.enrolment)

    async def _enrol_one(self, faces: DetectedFaces, user_id: UUID) -> EventEffects:
        event, (face,) = faces.event, faces.faces
        embedding = np.frombuffer(face.embedding, "<f4")
        await self._galleries.get(faces.model, embedding.size)
        enrolment = await self._stores.vectors.enrol(
            face_id=event.face_id(faces.model, 0),
            user_id=user_id,
            model=faces.model,
            embedding=embedding,
            captured_at=event.captured_at,
        )
        if enrolment.status is EnrolStatus.ERASED:
            return effects.refused(faces, effects.UNKNOWN_USER)
        await self._galleries.refresh(faces.model)
        return effects.enrolled(faces, user_id, enrolment.photos)

    async def _users_of(self, found: Sequence[DetectedFaces]) -> dict[str, UserRow]:
        """The users whose ids are the subjects."""
        wanted: dict[str, UUID] = {}
        for faces in found:
            try:
                wanted[faces.event.subject or ""] = UUID(faces.event.subject or "")
            except ValueError:
                continue  # no id at all: refused as an unknown user
        users = await self._stores.records.users(wanted.values())
        return {subject: users[user_id] for subject, user_id in wanted.items() if user_id in users}

    async def _store(self, results: Sequence[EventEffects]) -> None:
        """Crops and embeddings: all that has to be there before the commit point."""
        with metrics.stage("crops"):
            await self._stores.crops.put_many([crop for one in results for crop in one.crops])
        with metrics.stage("vectors"):
            for model, group in groupby(
                sorted(results, key=lambda one: one.result.model),
                key=lambda one: one.result.model,
            ):
                sightings = [sighting for one in group for sighting in one.sightings]
                await self._stores.vectors.add_sightings(model, sightings)

    async def _tell(self, results: Sequence[EventEffects]) -> None:
        """What is committed goes into the cache, to the world, and to the callers."""
        await self._remember(results)
        await self._announce(
            [match for one in results for match in one.matches],
            [one.result.key for one in results],
        )
        await self._answer(
            [
                (one.result.event.key, one.result.answer)
                for one in results
                if one.result.answer is not None
            ]
        )

    async def _announce(self, matches: Sequence[FaceMatch], events: Sequence[EventKey]) -> None:
        """Tell the world, and note in the ledger that it was told."""
        with metrics.stage("send_matches"):
            await self._publisher.send_all([outgoing(match, self._topics) for match in matches])
        with metrics.stage("mark_announced"):
            await self._stores.records.mark_announced(events)

    async def _remember(self, results: Sequence[EventEffects]) -> None:
        seen = [
            match
            for one in results
            for match in one.matches
            if one.result.event.kind is EventKind.FRAME
        ]
        with metrics.stage("recents"):
            await self._cache.ask(lambda: self._stores.recents.remember_matches(seen), None)

    async def _answer(self, answers: Sequence[tuple[str, bytes]]) -> None:
        """Tell the callers; should Redis be away, they find the answer in the ledger."""
        for upload_id, answer in answers:
            await self._cache.ask(partial(self._stores.recents.answer, upload_id, answer), None)

    def _count_dropped(self, duplicates: int) -> None:
        metrics.DROPPED.labels(topic=self._topics.detected, reason="duplicate").inc(duplicates)

    def _observe(self, results: Sequence[EventEffects]) -> int:
        """Count what these events came to, once they are told; returns how many there are."""
        now = utc_now()
        for one in results:
            event = one.result.event
            for recognition in one.recognitions:
                metrics.MATCHES.labels(outcome=recognition.decision.reason).inc()
            if event.kind is EventKind.FRAME:
                seconds = max(0.0, (now - event.at).total_seconds())
                metrics.LATENCY_SECONDS.observe(seconds)
            else:
                metrics.UPLOADS.labels(outcome=one.result.outcome.value).inc()
        return len(results)


def _place(
    key: EventKey, faces: DetectedFaces, rounds: list[dict[EventKey, DetectedFaces]]
) -> None:
    """Put a message of a batch into the round that it is decided in: the first, nearly always.

    As in the ledger: of an upload that was given up, what comes later counts; and what was looked
    at by other rules is looked at once more, after what came first.
    """
    for found in rounds:
        if key not in found or _is_given_up(found[key]):
            found[key] = faces
            return
        if found[key].policy == faces.policy:
            return
    rounds.append({key: faces})


def _is_given_up(faces: DetectedFaces) -> bool:
    return faces.refusal is not None and faces.refusal.given_up
