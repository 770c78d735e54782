"""Follows what people have said not to be a user: vetoes of faces, with the embeddings of these.

A veto names a face and a user. The embeddings are those of the model that decides, so a veto counts
under another model as soon as the face is embedded again; until then it is idle.
"""

from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING, TypeAlias

from agents.polling import poll
from config.observability import metrics
from ml.gallery.vetoed_faces import VetoedFaces
from sinks.main.people.veto_store import VetoStore
from sinks.vector.vector_store import Vectors
from streams.lifecycle.health_server import Check

if TYPE_CHECKING:
    from domain.decisions.corrections import Veto

#: The vetoes of a model.
VetoesOf: TypeAlias = Callable[[str], VetoedFaces]

_NONE = VetoedFaces()

#: Idle vetoes are looked for again after so many seconds: a backfill may have embedded their faces.
_IDLE_SECONDS = 20.0


def no_vetoes(_model: str) -> VetoedFaces:
    """Where nothing is vetoed."""
    return _NONE


class VetoWatch:
    """The vetoes in this worker's memory."""

    def __init__(self, store: VetoStore, vectors: Vectors, *, poll: float, max_age: float) -> None:
        """Follow this table.

        Args:
            store: the vetoes.
            vectors: the embeddings of the faces.
            poll: seconds between two looks.
            max_age: seconds without a look after which the worker is unhealthy.
        """
        self._store = store
        self._vectors = vectors
        self._poll = poll
        self._max_age = max_age
        self._fingerprint: str | None = None
        self._faces: Mapping[str, VetoedFaces] = {}
        self._vetoes: Sequence[Veto] = ()
        self._idle: Mapping[str, int] = {}
        self._current_at = self._loaded_at = monotonic()

    def of(self, model: str) -> VetoedFaces:
        """The vetoes under a model."""
        return self._faces.get(model, _NONE)

    async def load(self) -> None:
        """Read the vetoes if they have changed, and the embeddings that are missing.

        Raises:
            StoreUnavailable: a database is unavailable.
        """
        asked_at = monotonic()
        fingerprint = await self._store.fingerprint()
        again = any(self._idle.values()) and asked_at - self._loaded_at >= _IDLE_SECONDS
        if fingerprint != self._fingerprint or again:
            await self._read()
            self._fingerprint, self._loaded_at = fingerprint, asked_at
        self._current_at = asked_at

    async def follow(self) -> None:
        """Look until cancelled, also after an outage."""
        await poll(self.load, self._poll, "following the vetoes")

    def checks(self) -> Sequence[Check]:
        """Health: whether the copy is current."""
        age = monotonic() - self._current_at
        return [
            Check(
                "vetoes",
                age <= self._max_age,
                f"{len(self._vetoes)} vetoes, current {age:.1f} s ago",
            )
        ]

    async def _read(self) -> None:
        vetoes = await self._store.vetoes()
        wanted = {veto.face_id for veto in vetoes}
        faces: dict[str, VetoedFaces] = {}
        idle: dict[str, int] = {}
        for model in await self._vectors.models():
            found = await self._vectors.sightings_by_id(model, wanted)
            faces[model] = VetoedFaces(
                [(one.user_id, found[one.face_id]) for one in vetoes if one.face_id in found]
            )
            idle[model] = len(vetoes) - len(faces[model])
            metrics.VETOES.labels(model=model, state="active").set(len(faces[model]))
            metrics.VETOES.labels(model=model, state="idle").set(idle[model])
        self._vetoes, self._faces, self._idle = vetoes, faces, idle
