"""The tables of embedders in the main database, as SQLAlchemy models."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Double, Index, Integer, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from domain.decisions.model_change import EmbedderFile, ModelState, StoredModel
from sinks.main.schema import NOW, TIMESTAMP, MainBase


class ModelRow(MainBase):
    """An embedder. At most one serves; without one, that of the settings does."""

    __tablename__ = "models"
    __table_args__ = (
        CheckConstraint("state IN ('shadow', 'serving', 'retired')", name="models_state"),
        CheckConstraint("dimension BETWEEN 1 AND 4000", name="models_dimension"),
        Index("models_serving", "state", unique=True, postgresql_where=text("state = 'serving'")),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str | None] = mapped_column(Text)
    mean: Mapped[list[float]] = mapped_column(ARRAY(Double))
    deviation: Mapped[list[float]] = mapped_column(ARRAY(Double))
    mirror: Mapped[bool]
    dimension: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(Text)
    added_at: Mapped[datetime] = mapped_column(TIMESTAMP, server_default=NOW)
    threshold: Mapped[float | None] = mapped_column(Double)
    margin: Mapped[float | None] = mapped_column(Double)
    served_at: Mapped[datetime | None] = mapped_column(TIMESTAMP)
    changed_at: Mapped[datetime] = mapped_column(TIMESTAMP, server_default=NOW)

    def stored(self) -> StoredModel:
        """The row as the domain has it."""
        red, green, blue = self.mean
        divisor_red, divisor_green, divisor_blue = self.deviation
        return StoredModel(
            id=self.id,
            file=EmbedderFile(
                kind=self.kind,
                sha256=self.sha256,
                mean=(red, green, blue),
                deviation=(divisor_red, divisor_green, divisor_blue),
                mirror=self.mirror,
            ),
            dimension=self.dimension,
            state=ModelState(self.state),
            added_at=self.added_at,
            changed_at=self.changed_at,
            served_at=self.served_at,
            threshold=self.threshold,
            margin=self.margin,
        )


class ShadowCountRow(MainBase):
    """What two models said of a camera's faces in an hour; `domain.decisions.shadow_frames`."""

    __tablename__ = "shadow_counts"
    __table_args__ = (
        # For retention.
        Index("shadow_counts_hour", "hour"),
    )

    model: Mapped[str] = mapped_column(Text, primary_key=True)
    serving: Mapped[str] = mapped_column(Text, primary_key=True)
    camera_id: Mapped[str] = mapped_column(Text, primary_key=True)
    hour: Mapped[datetime] = mapped_column(TIMESTAMP, primary_key=True)
    faces: Mapped[int] = mapped_column(BigInteger)
    embedded: Mapped[int] = mapped_column(BigInteger)
    known: Mapped[int] = mapped_column(BigInteger)
    covered: Mapped[int] = mapped_column(BigInteger)
    same_best: Mapped[int] = mapped_column(BigInteger)
    found: Mapped[int] = mapped_column(BigInteger)
    confused: Mapped[int] = mapped_column(BigInteger)
    taken: Mapped[int] = mapped_column(BigInteger)
