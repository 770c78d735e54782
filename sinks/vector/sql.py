"""The SQL statements of `vector_store`. All values are passed as parameters."""

PGVECTOR_VERSION = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"

# Writing into the person's row of a gallery and taking the next revision belong together, and the
# head stays locked until the transaction ends: revisions become visible in their order.
LOCK_HEAD = "SELECT dimension FROM gallery_heads WHERE model = $1 FOR UPDATE"

LOCK_ALL_HEADS = "SELECT model FROM gallery_heads ORDER BY model FOR UPDATE"

MODELS = "SELECT model, dimension FROM gallery_heads ORDER BY model"

HEAD = "SELECT revision, dimension FROM gallery_heads WHERE model = $1"

# Taken before any head: enrolment and erasure of a user run one after the other, also when the
# model's head is created in the meantime.
LOCK_PERSON = "SELECT pg_advisory_xact_lock(hashtextextended($1::uuid::text, 1))"

# The person asked to be forgotten, not to be forgotten by one model.
IS_ERASED = "SELECT EXISTS (SELECT FROM erased_people WHERE user_id = $1)"

ADD_TOMBSTONE = "INSERT INTO erased_people (user_id) VALUES ($1) ON CONFLICT DO NOTHING"

GALLERY_ENTRIES = "SELECT count(*) FROM gallery WHERE user_id = $1 AND embedding IS NOT NULL"

TRACES = """
SELECT (SELECT count(*) FROM face_embeddings WHERE user_id = $1 AND kind = 'template') AS templates,
       (SELECT count(*) FROM face_embeddings WHERE user_id = $1 AND kind = 'sighting') AS sightings,
       (SELECT count(*) FROM gallery WHERE user_id = $1 AND embedding IS NOT NULL) AS galleries
"""

ADD_SIGHTINGS = """
INSERT INTO face_embeddings (face_id, model, user_id, kind, embedding, captured_at)
SELECT face_id, $1, user_id, 'sighting', embedding, captured_at
FROM (
    SELECT face_id, embedding, captured_at, CASE WHEN NOT EXISTS (
        SELECT FROM erased_people WHERE erased_people.user_id = row.user_id
    ) THEN row.user_id END AS user_id
    FROM unnest($2::uuid[], $3::uuid[], $4::vector[], $5::timestamptz[])
        AS row (face_id, user_id, embedding, captured_at)
) AS sighting
ON CONFLICT (face_id, model) DO UPDATE
SET user_id = excluded.user_id, embedding = excluded.embedding, captured_at = excluded.captured_at
WHERE face_embeddings.kind = 'sighting'
"""

ADD_TEMPLATE = """
INSERT INTO face_embeddings (face_id, user_id, model, kind, embedding, captured_at)
VALUES ($1, $2, $3, 'template', $4, $5)
ON CONFLICT (face_id, model) DO NOTHING
RETURNING face_id
"""

MODEL_OF_TEMPLATE = "SELECT model FROM face_embeddings WHERE face_id = $1 AND kind = 'template'"

REMOVE_TEMPLATE = """
DELETE FROM face_embeddings WHERE face_id = $1 AND model = $2 AND kind = 'template'
RETURNING user_id
"""

# The mean of no template is null: out of the gallery. Nothing of a suspended person is fused.
FUSE = """
WITH fused AS (
    SELECT l2_normalize(avg(embedding)) AS embedding, count(*)::integer AS photos
    FROM face_embeddings WHERE user_id = $1 AND model = $2 AND kind = 'template'
    AND NOT EXISTS (SELECT FROM gallery WHERE user_id = $1 AND suspended_at IS NOT NULL)
), head AS (
    UPDATE gallery_heads SET revision = revision + 1 WHERE model = $2 RETURNING revision
)
INSERT INTO gallery (user_id, model, embedding, photos, revision)
SELECT $1, $2, embedding, photos, revision FROM fused, head
ON CONFLICT (user_id, model) DO UPDATE
SET embedding = excluded.embedding, photos = excluded.photos, revision = excluded.revision,
    updated_at = now()
RETURNING photos, revision
"""

GALLERY_ENTRY = "SELECT photos, revision FROM gallery WHERE user_id = $1 AND model = $2"

# Takes no revision, and returns nothing, if there is a tombstone already.
WRITE_TOMBSTONE = """
WITH head AS (
    UPDATE gallery_heads SET revision = revision + 1
    WHERE model = $2 AND NOT EXISTS (
        SELECT FROM gallery WHERE user_id = $1 AND model = $2 AND erased_at IS NOT NULL)
    RETURNING revision
)
INSERT INTO gallery (user_id, model, embedding, photos, revision, erased_at)
SELECT $1, $2, NULL, 0, revision, now() FROM head
ON CONFLICT (user_id, model) DO UPDATE
SET embedding = NULL, photos = 0, revision = excluded.revision, erased_at = now(),
    suspended_at = NULL, updated_at = now()
RETURNING revision
"""

# Takes no revision where the person is suspended, or erased, already.
SUSPEND = """
WITH head AS (
    UPDATE gallery_heads SET revision = revision + 1
    WHERE model = $2 AND NOT EXISTS (
        SELECT FROM gallery WHERE user_id = $1 AND model = $2
        AND (erased_at IS NOT NULL OR suspended_at IS NOT NULL))
    RETURNING revision
)
INSERT INTO gallery (user_id, model, embedding, photos, revision, suspended_at)
SELECT $1, $2, NULL, 0, revision, now() FROM head
ON CONFLICT (user_id, model) DO UPDATE
SET embedding = NULL, photos = 0, revision = excluded.revision, suspended_at = now(),
    updated_at = now()
RETURNING revision
"""

# The models to fuse for: those of the suspension, and those that were set up, and enrolled with,
# since.
RESUME = """
WITH resumed AS (
    UPDATE gallery SET suspended_at = NULL WHERE user_id = $1 AND suspended_at IS NOT NULL
    RETURNING model
)
SELECT model FROM resumed
UNION
SELECT model FROM face_embeddings WHERE user_id = $1 AND kind = 'template' AND NOT EXISTS (
    SELECT FROM gallery
    WHERE user_id = $1 AND gallery.model = face_embeddings.model AND embedding IS NOT NULL)
ORDER BY model
"""

REMOVE_SIGHTING = "DELETE FROM face_embeddings WHERE face_id = $1 AND kind = 'sighting'"

DELETE_SIGHTINGS = """
DELETE FROM face_embeddings WHERE face_id = ANY($1::uuid[]) AND kind = 'sighting' RETURNING 1
"""

DELETE_TEMPLATES = """
WITH deleted AS (
    DELETE FROM face_embeddings WHERE user_id = $1 AND kind = 'template' RETURNING 1
)
SELECT count(*) FROM deleted
"""

# Conflicts with every insert and update under way; released at once.
WAIT_FOR_WRITERS = "LOCK TABLE face_embeddings IN SHARE MODE"

UNLINK_SIGHTINGS = """
WITH unlinked AS (
    UPDATE face_embeddings SET user_id = NULL WHERE user_id = $1 AND kind = 'sighting' RETURNING 1
)
SELECT count(*) FROM unlinked
"""

CHANGES = """
SELECT revision, user_id, vector_send(embedding) AS data
FROM gallery WHERE model = $1 AND revision > $2
ORDER BY revision LIMIT $3
"""

COUNT_GALLERY = "SELECT count(*) FROM gallery WHERE model = $1 AND embedding IS NOT NULL"

GALLERY = """
SELECT user_id, vector_send(embedding) AS data
FROM gallery WHERE model = $1 AND embedding IS NOT NULL
"""

TUNE_HNSW = """
SELECT set_config('hnsw.ef_search', $1, true),
       set_config('hnsw.iterative_scan', 'relaxed_order', true)
"""

# {partition} is an identifier that `partition_name` makes, {dimension} an integer:
# the two things that cannot be parameters. The index finds candidates in half precision; the
# similarity is exact.
SIMILAR_SIGHTINGS = """
WITH nearest AS MATERIALIZED (
    SELECT face_id, user_id, captured_at, embedding
    FROM {partition}
    WHERE kind = 'sighting' AND ($3::timestamptz IS NULL OR captured_at >= $3)
    ORDER BY embedding::halfvec({dimension}) <=> $1::vector::halfvec({dimension})
    LIMIT $2
)
SELECT face_id, user_id, captured_at, 1 - (embedding <=> $1::vector) AS similarity
FROM nearest ORDER BY similarity DESC, face_id
"""
