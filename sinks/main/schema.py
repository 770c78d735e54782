"""The tables of both databases, once: SQLAlchemy models that migrations and queries share.

The hot paths use SQL of their own, in the modules of `sinks.main` and `sinks.vector`; a test
compares these models with the migrations under ``infra/migrations``.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import (
    REAL,
    BigInteger,
    CheckConstraint,
    ColumnElement,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

TIMESTAMP = DateTime(timezone=True)
NOW = text("now()")


class MainBase(DeclarativeBase):
    """Tables of the main database."""


class VectorBase(DeclarativeBase):
    """Tables of the vector database."""


class User(MainBase):
    """A person who may be recognised.

    E-mail addresses are unique without regard to case, external ids with it, where there are any.
    """

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("length(email) BETWEEN 3 AND 320", name="users_email_length"),
        CheckConstraint("length(external_id) BETWEEN 1 AND 200", name="users_external_id_length"),
        CheckConstraint("jsonb_typeof(metadata) = 'object'", name="users_metadata_object"),
        # Made while workers write (`infra.database.migrate`).
        Index("users_external_id_key", "external_id", unique=True, postgresql_concurrently=True),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=text("gen_random_uuid()"))
    email: Mapped[str | None] = mapped_column(Text)
    full_name: Mapped[str | None] = mapped_column(Text)
    external_id: Mapped[str | None] = mapped_column(Text)
    # The application's own keys (`domain.users.user_metadata`); "metadata" is SQLAlchemy's word.
    user_metadata: Mapped[dict[str, Any]] = mapped_column(
        "metadata", JSONB, server_default=text("'{}'::jsonb")
    )
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    # The user that this one was merged into: both are one person.
    merged_into: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(TIMESTAMP, server_default=NOW)
    # A trigger keeps it, so that no writer can forget to.
    updated_at: Mapped[datetime] = mapped_column(TIMESTAMP, server_default=NOW)


Index("users_email_key", func.lower(User.email), unique=True)
# Newest first, with the id to break ties: what a cursor over the listing walks along.
Index("users_time", User.created_at.desc(), User.id.desc())


class Event(MainBase):
    """The ledger: one row for every event and model, written with the event's faces.

    Its primary key is what makes the first result win, whole, and processing twice harmless.
    """

    __tablename__ = "events"
    __table_args__ = (
        CheckConstraint("kind IN ('frame', 'enrol', 'search')", name="events_kind"),
        CheckConstraint(
            "outcome IN ('faces', 'no_face', 'enrolled', 'refused', 'searched', 'failed')",
            name="events_outcome",
        ),
        Index("events_processed_at", "processed_at"),
        # The last frame of each camera; and uploads, which are few among the frames.
        Index(
            "events_camera_at",
            "key",
            text("COALESCE(seen_at, captured_at)"),
            postgresql_where=text("kind = 'frame'"),
            postgresql_concurrently=True,
        ),
        Index("events_uploads", "processed_at", postgresql_where=text("kind <> 'frame'")),
        # For erasure. Made while workers write (`migrate`), like the next one.
        Index(
            "events_people",
            "people",
            postgresql_using="gin",
            postgresql_where=text("people IS NOT NULL"),
            postgresql_concurrently=True,
        ),
        # Lines of an older release, until it is noted whom they name; nearly always empty.
        Index(
            "events_people_unknown",
            "event_uuid",
            postgresql_where=text("people IS NULL AND kind <> 'frame'"),
            postgresql_concurrently=True,
        ),
        # For announcements that a crash prevented; nearly always empty.
        Index("events_unannounced", "processed_at", postgresql_where=text("announced_at IS NULL")),
    )

    event_uuid: Mapped[UUID] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(Text, primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(Text)
    id: Mapped[str] = mapped_column(Text)
    key: Mapped[str] = mapped_column(Text)
    captured_at: Mapped[datetime] = mapped_column(TIMESTAMP)
    width: Mapped[int] = mapped_column(Integer)
    height: Mapped[int] = mapped_column(Integer)
    face_count: Mapped[int] = mapped_column(Integer)
    outcome: Mapped[str] = mapped_column(Text)
    answer: Mapped[Any | None] = mapped_column(JSONB)
    # Of uploads: all users that the upload or its answer names. NULL for frames.
    people: Mapped[list[UUID] | None] = mapped_column(ARRAY(Uuid))
    # Of uploads that came by claim check: the address of the image.
    dataref: Mapped[str | None] = mapped_column(Text)
    announced_at: Mapped[datetime | None] = mapped_column(TIMESTAMP)
    processed_at: Mapped[datetime] = mapped_column(TIMESTAMP, server_default=NOW)
    seen_at: Mapped[datetime | None] = mapped_column(TIMESTAMP)


class Face(MainBase):
    """A face exists when its row does: it is written after crop and embedding.

    There is no foreign key to the ledger, which is pruned sooner than the faces. When a user is
    deleted the face stays, as an unknown's.

    A face that was followed from an earlier frame has no crop and no embedding of its own:
    ``best_face_id`` names the face of its track whose crop stands for it, and that one has its own;
    or the face itself, where none stands for it. The row of the best face may be gone sooner; then
    there is no crop to show.
    """

    __tablename__ = "faces"
    __table_args__ = (
        CheckConstraint("cardinality(box) = 4", name="faces_box_shape"),
        CheckConstraint("cardinality(landmarks) = 10", name="faces_landmarks_shape"),
        Index("faces_event", "event_uuid", "model", "index", unique=True),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    event_uuid: Mapped[UUID]
    event_id: Mapped[str] = mapped_column(Text)
    index: Mapped[int] = mapped_column(Integer)
    camera_id: Mapped[str] = mapped_column(Text)
    captured_at: Mapped[datetime] = mapped_column(TIMESTAMP)
    box: Mapped[list[float]] = mapped_column(ARRAY(Double))
    landmarks: Mapped[list[float]] = mapped_column(ARRAY(Double))
    score: Mapped[float] = mapped_column(Double)
    quality: Mapped[float] = mapped_column(Double)
    model: Mapped[str] = mapped_column(Text)
    crop_key: Mapped[str | None] = mapped_column(Text)
    user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("users.id", name="faces_user_id_fkey", ondelete="SET NULL")
    )
    similarity: Mapped[float | None] = mapped_column(Double)
    runner_up_similarity: Mapped[float | None] = mapped_column(Double)
    decision: Mapped[str | None] = mapped_column(Text)
    # `domain.events.MatchKind`. A trigger keeps it for workers of release 0.1, which leave it out.
    kind: Mapped[str] = mapped_column(Text, server_default=text("'frame'"))
    created_at: Mapped[datetime] = mapped_column(TIMESTAMP, server_default=NOW)
    seen_at: Mapped[datetime | None] = mapped_column(TIMESTAMP)
    track_id: Mapped[UUID | None]
    best_face_id: Mapped[UUID | None]
    # `domain.liveness_result.Liveness`; NULL where it is not checked.
    liveness: Mapped[Any | None] = mapped_column(JSONB)
    # Of an unknown face, the best candidate. Not a foreign key: an erasure forgets candidates in
    # parts, before it deletes the user.
    candidate_id: Mapped[UUID | None]
    # The last correction, by which a person has said who it is, or who it is not.
    correction_id: Mapped[UUID | None]
    best: Mapped["Face | None"] = relationship(
        primaryjoin="foreign(Face.best_face_id) == remote(Face.id)",
        lazy="joined",
        join_depth=1,
        viewonly=True,
    )

    @property
    def fresh(self) -> bool:
        """Whether the embedding was computed from this face."""
        return self.best_face_id is None

    @property
    def shown_crop_key(self) -> str | None:
        """S3 key of the crop that shows this face: its own, or the one of its track."""
        return self.crop_key or (self.best.crop_key if self.best else None)

    @hybrid_property
    def at(self) -> datetime:
        """The time that counts: Kafka's where the camera's is not trusted."""
        return self.seen_at or self.captured_at

    @at.inplace.expression
    @classmethod
    def _at_in_sql(cls) -> ColumnElement[datetime]:
        return func.coalesce(cls.seen_at, cls.captured_at)


# Newest first, with the id to break ties: what a cursor over a listing walks along. Made while
# workers write (`infra.database.migrate`).
_NEWEST_FIRST = (Face.at.desc(), Face.id.desc())
Index("faces_at", *_NEWEST_FIRST, postgresql_concurrently=True)
Index("faces_camera_at", Face.camera_id, *_NEWEST_FIRST, postgresql_concurrently=True)
Index("faces_user_at", Face.user_id, *_NEWEST_FIRST, postgresql_concurrently=True)
# For erasure.
Index(
    "faces_candidate",
    Face.candidate_id,
    postgresql_where=Face.candidate_id.is_not(None),
    postgresql_concurrently=True,
)
# For retention: how long a face has been kept, independent of its camera's clock.
Index("faces_created", Face.created_at)


class LostEmbedding(MainBase):
    """A face whose embedding is not there any more, and cannot be made again from the stores."""

    __tablename__ = "lost_embeddings"

    face_id: Mapped[UUID] = mapped_column(
        ForeignKey("faces.id", name="lost_embeddings_face_id_fkey", ondelete="CASCADE"),
        primary_key=True,
    )
    found_at: Mapped[datetime] = mapped_column(TIMESTAMP, server_default=NOW)


class ApiKey(MainBase):
    """A key to the HTTP API. Of the secret only its hash is kept."""

    __tablename__ = "api_keys"
    __table_args__ = (CheckConstraint("length(secret_hash) = 32", name="api_keys_hash_length"),)

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime] = mapped_column(TIMESTAMP, server_default=NOW)
    revoked_at: Mapped[datetime | None] = mapped_column(TIMESTAMP)


class AuditEntry(MainBase):
    """Who changed what, and when. A trigger refuses every change to what is written.

    Nothing personal is in it but identifiers, which mean nothing once the person is erased.
    """

    __tablename__ = "audit"
    __table_args__ = (Index("audit_target", "target", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    at: Mapped[datetime] = mapped_column(TIMESTAMP, server_default=NOW)
    actor: Mapped[str] = mapped_column(Text)
    action: Mapped[str] = mapped_column(Text)
    target: Mapped[str] = mapped_column(Text)
    detail: Mapped[Any] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))
    request_id: Mapped[str | None] = mapped_column(Text)


class FaceEmbedding(VectorBase):
    """An embedding: of an enrolled photo (``template``) or of a face seen (``sighting``).

    Partitioned by model, because dimension and meaning are the model's: each partition checks
    its dimension (`sinks.vector.partitions`). Sightings are found by their time, and compared.
    """

    __tablename__ = "face_embeddings"
    __table_args__ = (
        CheckConstraint("kind IN ('template', 'sighting')", name="face_embeddings_kind"),
        CheckConstraint(
            "kind = 'sighting' OR user_id IS NOT NULL", name="face_embeddings_template_has_user"
        ),
        Index("face_embeddings_user", "user_id", "model"),
        Index("face_embeddings_captured_at", "captured_at"),
        {"postgresql_partition_by": "LIST (model)"},
    )

    face_id: Mapped[UUID] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(Text, primary_key=True)
    user_id: Mapped[UUID | None]
    kind: Mapped[str] = mapped_column(Text)
    embedding: Mapped[Any] = mapped_column(VECTOR())
    captured_at: Mapped[datetime] = mapped_column(TIMESTAMP)
    created_at: Mapped[datetime] = mapped_column(TIMESTAMP, server_default=NOW)
    # How much a photo counts in its user's template (`domain.decisions.template_weight`).
    weight: Mapped[float] = mapped_column(REAL, server_default=text("1"))
    # Of a template whose photo was taken out: it counts for nothing.
    set_aside_at: Mapped[datetime | None] = mapped_column(TIMESTAMP)


class GalleryTemplate(VectorBase):
    """The fused template of one person under one model.

    Without an embedding the person is out of the gallery, and the row is there so that those who
    follow it learn of that. With ``erased_at`` it is a tombstone: there is no enrolling again.
    With ``suspended_at`` the templates are kept, and count again when it is taken away.
    """

    __tablename__ = "gallery"
    __table_args__ = (
        CheckConstraint(
            "erased_at IS NULL OR embedding IS NULL", name="gallery_tombstone_is_empty"
        ),
        CheckConstraint(
            "suspended_at IS NULL OR embedding IS NULL", name="gallery_suspended_is_empty"
        ),
        CheckConstraint("(photos = 0) = (embedding IS NULL)", name="gallery_photos"),
        Index("gallery_revision", "model", "revision", unique=True),
    )

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(
        ForeignKey("gallery_heads.model", name="gallery_model_fkey"), primary_key=True
    )
    embedding: Mapped[Any | None] = mapped_column(VECTOR())
    photos: Mapped[int] = mapped_column(Integer)
    revision: Mapped[int] = mapped_column(BigInteger)
    erased_at: Mapped[datetime | None] = mapped_column(TIMESTAMP)
    suspended_at: Mapped[datetime | None] = mapped_column(TIMESTAMP)
    updated_at: Mapped[datetime] = mapped_column(TIMESTAMP, server_default=NOW)


class ErasedUser(VectorBase):
    """A tombstone: nothing of this person is stored again, under any model, now or ever.

    The galleries' own tombstones inform the workers; this one also applies where there is no
    gallery yet, and leads to no person once the user's row is deleted.
    """

    __tablename__ = "erased_people"

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    erased_at: Mapped[datetime] = mapped_column(TIMESTAMP, server_default=NOW)


class GalleryHead(VectorBase):
    """A model's gallery: its dimension, and the revision of the latest change.

    Every change locks this row until it commits, so revisions are committed in their order and a
    worker that asks for changes "later than N" misses none.
    """

    __tablename__ = "gallery_heads"
    __table_args__ = (
        CheckConstraint("dimension BETWEEN 1 AND 4000", name="gallery_heads_dimension"),
    )

    model: Mapped[str] = mapped_column(Text, primary_key=True)
    dimension: Mapped[int] = mapped_column(Integer)
    revision: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
