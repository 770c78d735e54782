"""What models in shadow said of live faces, by model, camera and hour: counts without a user."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields
from datetime import datetime
from typing import NamedTuple

from domain.decisions.shadow_frames import ShadowCount
from sinks.postgres.pool import PostgresSink

#: Days that counts are kept, whatever the retention of sightings is.
KEPT_DAYS = 30

_NAMES = [one.name for one in fields(ShadowCount)]

# Always in this order, so that two workers cannot deadlock over two rows.
ADD = f"""
INSERT INTO shadow_counts (model, serving, camera_id, hour, {", ".join(_NAMES)})
SELECT model, serving, camera_id, date_trunc('hour', now(), 'UTC'), {", ".join(_NAMES)}
FROM unnest($1::text[], $2::text[], $3::text[], {
    ", ".join(f"${number}::bigint[]" for number in range(4, 4 + len(_NAMES)))
}) AS counted (model, serving, camera_id, {", ".join(_NAMES)})
ORDER BY model, serving, camera_id
ON CONFLICT (model, serving, camera_id, hour) DO UPDATE SET {
    ", ".join(f"{name} = shadow_counts.{name} + excluded.{name}" for name in _NAMES)
}
"""  # noqa: S608 - made of constants, as below

DELETE_OLD = "DELETE FROM shadow_counts WHERE hour < now() - make_interval(days => $1)"

COUNTS = f"""
SELECT camera_id, hour, {", ".join(_NAMES)} FROM shadow_counts
WHERE model = $1 AND serving = $2 ORDER BY camera_id, hour
"""  # noqa: S608


class CountedFor(NamedTuple):
    """What a count is of.

    Attributes:
        model: id of the embedder that does not decide.
        serving: id of the one that has decided.
        camera_id: the camera.
    """

    model: str
    serving: str
    camera_id: str


@dataclass(frozen=True, slots=True)
class CountedHour:
    """The count of a camera in an hour that begins at ``hour``."""

    camera_id: str
    hour: datetime
    count: ShadowCount


class ShadowCounts(PostgresSink):
    """Adds and reads counts."""

    async def add_shadow_counts(self, counts: Mapping[CountedFor, ShadowCount]) -> None:
        """Add to the counts of this hour, and delete what is too old."""
        if not counts:
            return
        keys = [list(column) for column in zip(*counts, strict=True)]
        numbers = [list(one) for one in zip(*map(astuple, counts.values()), strict=True)]
        async with self._connection("count faces in shadow") as connection:
            await connection.execute(ADD, *keys, *numbers)
            await connection.execute(DELETE_OLD, KEPT_DAYS)

    async def shadow_counts(self, model: str, serving: str) -> list[CountedHour]:
        """The counts of two models, by camera and hour."""
        async with self._connection("read counts of faces in shadow") as connection:
            records = await connection.fetch(COUNTS, model, serving)
        return [
            CountedHour(
                record["camera_id"],
                record["hour"],
                ShadowCount(**{name: record[name] for name in _NAMES}),
            )
            for record in records
        ]
