"""The identify agent: from faces to users, and into every store.

1. search the faces in the gallery
2. claim the events: one that is already in the ledger is not processed again; and lock the users
   that the results may name, so that none can be erased before the commit
3. enrol photos; decide who the other faces are, and build the effects
4. crops and snapshots -> S3, embeddings -> pgvector
5. rows -> Postgres, the commit point: a face exists if its row exists
6. the listing -> Redis, the matches -> ``faces.matches``, the frames -> ``frames.processed`` if
   that is turned on, the answers -> callers

Crops are written while the users are locked: a crop that is written before would remain after an
erasure that does not know of it, and an erasure needs S3 itself, so it would hardly wait less.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import groupby
from uuid import UUID

from msgspec import structs

from agents.galleries import Galleries
from agents.identify import effects
from agents.identify.announcements import Announcer
from agents.identify.batch_rounds import in_rounds
from agents.identify.effects import EventEffects
from agents.identify.enrolments import Enrolments, compares_nothing
from agents.identify.live_comparison import LiveComparison
from agents.identify.recognition import Recogniser, SearchedImage
from agents.vetoes import VetoesOf, no_vetoes
from config.observability import metrics
from domain.decisions.enrolment import EnrolmentPolicy
from domain.decisions.likeness import LikenessPolicy
from domain.decisions.matching import MatchPolicy
from domain.events import DetectedFaces, EventKind
from domain.failures import Reject
from domain.object_keys import uploaded_key
from domain.refusals.unreadable_uploads import given_up
from domain.store_rows import EventKey
from sinks.main.best_faces import best_faces
from sinks.main.ledger import Claim
from sinks.stores import Stores
from streams.clients.durable_producer import Publisher
from streams.clients.image_producer import upload_keys
from streams.contract.camera_clocks import ClockPolicy
from streams.contract.envelope import DEFAULT_CLOCKS, with_trusted_time
from streams.contract.message import Message
from streams.contract.topics import Topics
from streams.contract.value_codec import unpack
from streams.processing.stage import Stage


@dataclass(frozen=True, slots=True)
class Policies:
    """The rules for a match, by model, and for a photo that can be enrolled.

    ``likeness`` is how alike a photo and the templates must be, by model; by default they are not
    compared.
    """

    match: Callable[[str], MatchPolicy]
    enrolment: EnrolmentPolicy
    likeness: Callable[[str], LikenessPolicy | None] = compares_nothing


class Identify(Stage):
    """Processes batches of ``faces.detected``; keeps no state between batches."""

    def __init__(  # noqa: PLR0913 - the parts of a stage, named once, where the worker is built
        self,
        stores: Stores,
        galleries: Galleries,
        publisher: Publisher,
        topics: Topics,
        *,
        policies: Policies,
        executor: Executor,
        comparison: LiveComparison | None = None,
        clocks: ClockPolicy = DEFAULT_CLOCKS,
        frames_processed: bool = False,
        vetoes: VetoesOf = no_vetoes,
    ) -> None:
        """Create the stage.

        Args:
            stores: the four sinks.
            galleries: this worker's copy of the templates.
            publisher: sends the matches.
            topics: names of the topics.
            policies: the rules for matches and enrolments.
            executor: where searches run.
            comparison: gets the faces of frames in shadow; None: they are not compared.
            clocks: how far a camera's clock may be wrong.
            frames_processed: whether each frame has a message of its own.
            vetoes: by model, the faces that are not a user.
        """
        self._stores = stores
        self._galleries = galleries
        self._topics = topics
        self._clocks = clocks
        self._comparison = comparison
        self._enrolments = Enrolments(stores, galleries, policies.enrolment, policies.likeness)
        self._recogniser = Recogniser(galleries, policies.match, executor, vetoes)
        self._announcer = Announcer(stores, publisher, topics, frames_processed=frames_processed)

    async def process(self, batch: Sequence[Message]) -> Mapping[Message, Reject]:
        """Write every event of the batch to the stores, and announce it."""
        rounds, refused, duplicates = in_rounds(batch, self._read_fitting)
        for found in rounds:
            for part in _enrolments_first(found):
                duplicates += await self._process(part)
        metrics.DROPPED.labels(topic=self._topics.detected, reason="duplicate").inc(duplicates)
        return refused

    async def _process(self, found: Mapping[EventKey, DetectedFaces]) -> int:
        """Process events at once; returns how many were processed and announced before.

        The claim is held until the commit is durable, so that no other worker processes the events.
        """
        searched = [
            one
            for one in found.values()
            if one.event.kind is not EventKind.ENROL and one.refusal is None
        ]
        images = await self._recogniser.search(searched)
        users = effects.users_of(found.values()).union(*(one.could_name() for one in images))
        async with self._stores.records.claim(
            found, lambda row: self._enrolments.is_final(row, found[row.event_key]), users=users
        ) as claim:
            fresh = [faces for key, faces in found.items() if key not in claim.existing]
            images = [
                one.after_merges(claim.merged) for one in images if one.key not in claim.existing
            ]
            decided = await self._decide(claim, fresh, images, users - claim.users)
            results = await self._hide_erased(claim, decided)
            await self._store(results)
            with metrics.stage("records"):
                written = await claim.commit([one.result for one in results])
            committed = [
                one.with_crop_keys(written[one.result.key])
                for one in results
                if one.result.key in written
            ]
            self._announcer.expect(committed)
        if self._comparison is not None:
            for one in committed:
                self._comparison.note(found[one.result.key], one.matches)
        announced = 0
        # A frame may be asked for as embedded by two models; it has one row.
        for row in {row.event_key: row for row in claim.existing.values()}.values():
            announced += await self._announcer.announce_again(row)
        return len(found) - announced - await self._announcer.announce(committed)

    async def _decide(
        self,
        claim: Claim,
        found: Sequence[DetectedFaces],
        images: Sequence[SearchedImage],
        erased: Collection[UUID],
    ) -> list[EventEffects]:
        """Decide about events without a result, and build the effects: once.

        Args:
            claim: holds the events, and the users that exist.
            found: the events.
            images: those of them that were searched.
            erased: users who do not exist any more.
        """
        photos = [one for one in found if one.event.kind is EventKind.ENROL]
        return [
            *await self._enrolments.enrol(claim, photos),
            *self._enrolments.refuse_unreadable(found),
            *(effects.of_image(image, erased) for image in images),
        ]

    async def _hide_erased(
        self, claim: Claim, results: Sequence[EventEffects]
    ) -> Sequence[EventEffects]:
        """Delete the crops of best faces that stand for faces of erased users, and their frames.

        They may be of earlier frames, whose rows then name no crop, or of frames of this batch.
        """
        hidden = {face_id for one in results for face_id in one.hidden_faces}
        if not hidden:
            return results
        best = best_faces(one.result for one in results)
        hidden |= {best[face_id] for face_id in hidden & best.keys()}
        await self._stores.crops.delete_many(await claim.forget_crops(hidden))
        return [one.without_crops(hidden) for one in results]

    async def _store(self, results: Sequence[EventEffects]) -> None:
        """Write crops, snapshots and embeddings: they must be stored before the commit point."""
        with metrics.stage("crops"):
            await self._stores.crops.put_many([one for each in results for one in each.pictures])
            await self._stores.crops.delete_many(
                [key for one in results for key in self._keys_to_delete(one)]
            )
        with metrics.stage("vectors"):
            by_model = sorted(results, key=lambda one: one.result.model)
            for model, group in groupby(by_model, key=lambda one: one.result.model):
                sightings = [sighting for one in group for sighting in one.sightings]
                await self._stores.vectors.add_sightings(model, sightings)

    def _keys_to_delete(self, one: EventEffects) -> Sequence[str]:
        """Keys of pictures that must be deleted, because their user does not exist."""
        if not one.photo_is_deleted:
            return one.deleted_crops
        named = uploaded_key(one.result.dataref, self._stores.crops.bucket)
        return [*upload_keys(one.result.event.uuid), *([named] if named else ())]

    async def notify_caller(self, message: Message, reject: Reject) -> None:
        """Notify the caller of an upload that it is a dead letter, and why.

        Raises:
            StoreUnavailable: the main database is unavailable.
        """
        try:
            faces = self._read(message)
        except Reject:
            return  # the caller is unknown
        if faces.event.kind is not EventKind.FRAME:
            failed = structs.replace(faces, faces=(), refusal=given_up(reject.reason))
            duplicates = await self._process({EventKey(faces.event.uuid, faces.model): failed})
            metrics.DROPPED.labels(topic=self._topics.detected, reason="duplicate").inc(duplicates)

    def _read(self, message: Message) -> DetectedFaces:
        """Read a message; it may come from an earlier release, or from another program.

        Raises:
            Reject: see `streams.contract.value_codec.unpack`.
        """
        faces = unpack(message.value)
        event = with_trusted_time(faces.event, message, self._clocks)
        return faces if event is faces.event else structs.replace(faces, event=event)

    def _read_fitting(self, message: Message) -> DetectedFaces:
        """Read a message, and refuse a wrong dimension: it would make its whole batch fail.

        Raises:
            Reject: see `streams.contract.value_codec.unpack`; or ``wrong_dimension``.
        """
        faces = self._read(message)
        known = self._galleries.dimension(faces.model)
        if known is not None and faces.faces and len(faces.faces[0].embedding) != 4 * known:
            raise Reject(
                "wrong_dimension",
                f"embeddings of {len(faces.faces[0].embedding)} bytes; {faces.model} has {known} "
                "dimensions of 4 bytes",
            )
        return faces


def _enrolments_first(
    found: Mapping[EventKey, DetectedFaces],
) -> list[Mapping[EventKey, DetectedFaces]]:
    """The photos to enrol, then the other events: these also find whom the photos show."""
    photos = {key: one for key, one in found.items() if one.event.kind is EventKind.ENROL}
    others = {key: one for key, one in found.items() if key not in photos}
    return [part for part in (photos, others) if part]
