"""An operator who corrects while faults are injected, through the service that applications use."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID, uuid4

import asyncpg
from sqlalchemy.exc import SQLAlchemyError

from config.settings import Settings
from domain.decisions.corrections import CorrectionError, CorrectionKind
from domain.people.stored_corrections import CorrectionRequest
from domain.personal_data import Author
from services.people.people_corrections import Corrections, open_corrections
from sinks.main.unknowns.unknown_corrections import NewName
from sinks.store_errors import StoreRejected, StoreUnavailable
from sinks.stores import Stores, opened
from tests.chaos.corrections.correction_evidence import Asked
from tests.chaos.corrections.correction_targets import Targets
from tests.chaos.corrections.prepared_people import PreparedPeople

ACTOR = "chaos:operator"

#: What the operator does in one round, in a random order; "undo" undoes what was said last.
ROUND = (
    "face is",
    "face is",
    "face not",
    "visit is",
    "visit not",
    "merge",
    "photo out",
    "promote",
    *["undo"] * 5,
)
_PAUSE_SECONDS = 0.5
_LOOK_AGAIN_SECONDS = 1.0
_PROMOTE_SECONDS = 60.0

#: A database that is not there, or went away in the middle.
OUTAGES = (
    StoreUnavailable,
    StoreRejected,
    SQLAlchemyError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    OSError,
    TimeoutError,
)


class Corrector:
    """Corrects, one thing after the other.

    Attributes:
        asked: what was asked for, in order.
        promoted: unknowns whose promotion was answered, with the user.
    """

    def __init__(
        self,
        corrections: Corrections,
        targets: Targets,
        people: PreparedPeople,
        known: UUID,
        generator: random.Random,
    ) -> None:
        """Correct through these.

        Args:
            corrections: the service.
            targets: what can be corrected.
            people: who is corrected.
            known: the enrolled user of the run, who is in no unknown visit.
            generator: draws what is said.
        """
        self.asked: list[Asked] = []
        self.promoted: dict[UUID, UUID] = {}
        self._corrections = corrections
        self._targets = targets
        self._people = people
        self._known = known
        self._generator = generator
        self._standing: list[UUID] = []
        self._merges: set[UUID] = set()
        self._over = False
        self._step_name = ""
        self._done: set[str] = set()

    async def run(self, stopped: asyncio.Event) -> None:
        """Correct until it is stopped; what is begun is finished."""
        for step in self._steps():
            if stopped.is_set():
                return
            await self._patiently(step)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def finish(self) -> None:
        """When no more faces come: do what could not be done before, so that each was done."""
        self._over = True
        for step in dict.fromkeys(ROUND):
            if step not in self._done:
                await self._patiently(step)
                if step == "merge":
                    await self._patiently("undo")

    def _steps(self) -> Iterator[str]:
        while True:
            yield from self._generator.sample(ROUND, len(ROUND))

    async def _patiently(self, step: str) -> None:
        """Take a step; look again where the database does not say what there is to correct."""
        while True:
            try:
                await self._step(step)
            except OUTAGES:
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
            else:
                return

    async def _step(self, step: str) -> None:
        self._step_name = step
        match step:
            case "face is" | "face not":
                await self._label(step, "face_id", await self._targets.faces(over=self._over))
            case "visit is" | "visit not":
                await self._label(step, "visit_id", await self._targets.visits(over=self._over))
            case "merge":
                if not self._merges:
                    kept, merged = self._people.both
                    await self._make(
                        Asked(
                            id=uuid4(),
                            kind=CorrectionKind.MERGE,
                            user_id=kept,
                            other_user_id=merged,
                        )
                    )
            case "photo out":
                if photos := await self._targets.photos():
                    face_id, user_id = self._generator.choice(photos)
                    kind = CorrectionKind.PHOTO_OUT
                    await self._make(Asked(id=uuid4(), kind=kind, user_id=user_id, face_id=face_id))
            case "undo":
                await self._undo_last()
            case "promote":
                unknown_id = await self._targets.unknown(over=self._over)
                if unknown_id is not None:
                    await self._promote(unknown_id)

    async def _label(self, step: str, name: str, targets: list[tuple[UUID, UUID | None]]) -> None:
        """Say who one of these is, or is not."""
        labelled = [one for one in targets if one[1] is not None]
        unknown = [one for one in targets if one[1] is None]
        if step.endswith(" is"):
            users = [self._people.kept] if self._merges else list(self._people.both)
            kind, chosen, user_id = CorrectionKind.IS_USER, unknown, self._generator.choice(users)
        else:
            # Where none has a label, it is said of an unknown: it changes nothing, and is a veto.
            kind, chosen, user_id = CorrectionKind.NOT_USER, labelled or unknown, self._known
        if not chosen:
            return
        target, label = self._generator.choice(chosen)
        if kind is CorrectionKind.NOT_USER and label is not None:
            user_id = label
        await self._make(
            Asked(
                id=uuid4(),
                kind=kind,
                user_id=user_id,
                face_id=target if name == "face_id" else None,
                visit_id=target if name == "visit_id" else None,
            )
        )

    async def _make(self, asked: Asked) -> None:
        assert asked.id is not None
        assert asked.user_id is not None
        request = CorrectionRequest(
            id=asked.id,
            kind=asked.kind,
            author=Author(ACTOR),
            user_id=asked.user_id,
            other_user_id=asked.other_user_id,
            face_id=asked.face_id,
            visit_id=asked.visit_id,
        )

        async def make() -> UUID:
            return (await self._corrections.make(request)).id

        if await self._said(asked, make):
            self._standing.append(asked.id)
            if asked.kind is CorrectionKind.MERGE:
                self._merges.add(asked.id)

    async def _undo_last(self) -> None:
        if not self._standing:
            return
        undone = self._standing[-1]

        async def undo() -> UUID:
            return (await self._corrections.undo(undone, Author(ACTOR))).id

        if await self._said(Asked(id=None, kind=CorrectionKind.UNDO, undoes=undone), undo):
            self._standing.pop()
            self._merges.discard(undone)

    async def _said(self, asked: Asked, say: Callable[[], Awaitable[UUID]]) -> bool:
        """Say it once; whether it was made, also if no answer came."""
        number = len(self.asked)
        self.asked.append(asked)
        try:
            made = await say()
        except CorrectionError:
            return False  # something without an answer was made in the meantime
        except (StoreUnavailable, StoreRejected):
            while True:
                try:
                    return await self._targets.is_made(asked.id, asked.undoes)
                except OUTAGES:
                    await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        self.asked[number] = Asked(
            id=made,
            kind=asked.kind,
            user_id=asked.user_id,
            other_user_id=asked.other_user_id,
            face_id=asked.face_id,
            visit_id=asked.visit_id,
            undoes=asked.undoes,
            answered=True,
        )
        self._done.add(self._step_name)
        return True

    async def _promote(self, unknown_id: UUID) -> None:
        """Promote an unknown; repeated until it is answered, as the command's page says."""
        name = NewName(full_name=f"Person {len(self.promoted) + 1}")
        async with asyncio.timeout(_PROMOTE_SECONDS):
            while True:
                try:
                    done = await self._corrections.promote(unknown_id, name, Author(ACTOR))
                except OUTAGES:
                    await asyncio.sleep(_LOOK_AGAIN_SECONDS)
                else:
                    self.promoted[done.unknown_id] = done.user_id
                    self._done.add("promote")
                    return


@asynccontextmanager
async def running_corrector(
    settings: Settings, direct: Settings, people: PreparedPeople, known: UUID, seed: int
) -> AsyncIterator[Corrector]:
    """An operator whose connections suffer the faults.

    Args:
        settings: through the proxies.
        direct: past them.
        people: who is corrected.
        known: the enrolled user of the run.
        seed: of what is said.
    """
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        stores = await enter(opened(Stores.of(settings)))
        yield Corrector(
            await enter(open_corrections(stores, settings)),
            Targets(direct, people.both, people.photos),
            people,
            known,
            random.Random(f"{seed} corrections"),
        )
