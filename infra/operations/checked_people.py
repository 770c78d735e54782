"""What `fecapass people check` shows: the mistakes among the enrolled people, with names."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TypeAlias
from uuid import UUID

from config.settings import Settings
from domain.store_rows import UserRow
from infra.terminal.tables import Row
from services.current_embedder import embedder_in_force
from services.people.people_check import (
    AlikeUsers,
    OutlyingPhoto,
    PeopleCheck,
    SamePhotos,
    check_people,
)
from sinks.main.main_store import Records
from sinks.main.models.model_store import ModelStore
from sinks.vector.vector_store import Vectors

Finding: TypeAlias = OutlyingPhoto | SamePhotos | AlikeUsers


class NoGalleryError(Exception):
    """It is not known which model serves; the message is for people."""


@dataclass(frozen=True, slots=True)
class CheckedPeople:
    """A check, and the users that it names.

    Attributes:
        check: what was found.
        users: by id; those who still exist.
    """

    check: PeopleCheck
    users: dict[UUID, UserRow]

    @property
    def most(self) -> int:
        """Number of findings of the kind that has most."""
        check = self.check
        return max(len(check.outliers), len(check.near_duplicates), len(check.alike))

    def rows(self, limit: int) -> list[Row]:
        """All findings as rows of a listing.

        Args:
            limit: number of findings of each kind.
        """
        check = self.check
        return [
            *(self._named("outlier", one) for one in check.outliers[:limit]),
            *(self._named("alike", one) for one in check.alike[:limit]),
            *(self._named("near-duplicate", one) for one in check.near_duplicates[:limit]),
        ]

    def document(self, limit: int) -> Row:
        """The same for programs."""
        check = self.check
        return {
            "model": check.model,
            "users": check.users,
            "photos": check.photos,
            "outliers": self._all(check.outliers[:limit]),
            "near_duplicates": self._all(check.near_duplicates[:limit]),
            "alike": self._all(check.alike[:limit]),
            "found": {
                "outliers": len(check.outliers),
                "near_duplicates": len(check.near_duplicates),
                "alike": len(check.alike),
            },
        }

    def _all(self, findings: Sequence[Finding]) -> list[Row]:
        return [self._row(one) for one in findings]

    def _named(self, kind: str, finding: Finding) -> Row:
        return {"kind": kind, "face_id": None, "other_name": None, **self._row(finding)}

    def _row(self, finding: Finding) -> Row:
        row = {**asdict(finding), "name": self._name(finding.user_id)}
        if isinstance(finding, AlikeUsers):
            row["other_name"] = self._name(finding.other_user_id)
        return row

    def _name(self, user_id: UUID) -> str:
        user = self.users.get(user_id)
        return (user and (user.full_name or user.email)) or str(user_id)


async def deciding_model(models: ModelStore, settings: Settings) -> str:
    """Id of the embedder whose gallery decides: the one that serves, else that of the settings.

    Raises:
        NoGalleryError: it is not known which one that is.
        StoreUnavailable: the main database is unavailable.
    """
    model = await models.serving() or await embedder_in_force(settings.models)
    if model is None:
        raise NoGalleryError("no model serves, and the file of the settings' model is not here")
    return model


async def checked_people(settings: Settings) -> CheckedPeople:
    """Check the gallery of the model that serves.

    Args:
        settings: of the process.

    Raises:
        NoGalleryError: it is not known which model that is.
        StoreUnavailable: a store is unavailable.
    """
    async with ModelStore(settings.main_db) as models:
        model = await deciding_model(models, settings)
    async with Vectors(settings.vector_db) as vectors:
        check = await check_people(vectors, model, settings.models)
    named = (
        {one.user_id for one in check.outliers}
        | {one.user_id for one in check.near_duplicates}
        | {user_id for pair in check.alike for user_id in (pair.user_id, pair.other_user_id)}
    )
    async with Records(settings.main_db) as records:
        return CheckedPeople(check, await records.users(named))
