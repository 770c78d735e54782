"""What changes the tables of visits, as SQL. Used by `sinks.main.visit_store`.

Every transaction takes its locks in one order, which is also that of an erasure: users, faces,
cameras, visits, faces of visits, messages; of each kind by key.
"""

# Erasure waits until they are free, and so does the deletion of faces. Both parts are read in this
# order, each as a whole.
HOLD = """
WITH named AS (
    SELECT id, merged_into FROM users WHERE id = ANY($1::uuid[]) ORDER BY id FOR KEY SHARE
), stored AS (
    SELECT id FROM faces WHERE id = ANY($2::uuid[]) ORDER BY id FOR KEY SHARE
)
SELECT 'user' AS kind, id, merged_into FROM named UNION ALL SELECT 'face', id, NULL FROM stored
"""

# Of identifiers in a checkpoint: those of users who were erased.
ERASED = """
SELECT target FROM audit WHERE target = ANY($1::text[]) AND action = 'user.delete'
"""

# A camera with another version gives no row, nor one whose row was deleted since it was read.
CAMERAS = """
INSERT INTO visit_cameras AS stored (camera_id, version, partition, clock, checkpoint,
                                     checkpoint_at, checkpoint_event)
SELECT camera_id, version + 1, partition, clock, checkpoint, checkpoint_at, checkpoint_event
FROM unnest($1::text[], $2::bigint[], $3::integer[], $4::timestamptz[], $5::bytea[],
            $6::timestamptz[], $7::text[])
     AS change (camera_id, version, partition, clock, checkpoint, checkpoint_at, checkpoint_event)
WHERE version = 0 OR EXISTS (
    SELECT FROM visit_cameras AS known WHERE known.camera_id = change.camera_id)
ORDER BY camera_id
ON CONFLICT (camera_id) DO UPDATE
SET version = excluded.version, partition = excluded.partition, clock = excluded.clock,
    checkpoint = COALESCE(excluded.checkpoint, stored.checkpoint),
    checkpoint_at = COALESCE(excluded.checkpoint_at, stored.checkpoint_at),
    checkpoint_event = COALESCE(excluded.checkpoint_event, stored.checkpoint_event),
    updated_at = now()
WHERE stored.version = excluded.version - 1
RETURNING camera_id
"""

# A best face that is gone becomes NULL, as the deletion of a face does it.
VISITS = """
INSERT INTO visits (visit_id, camera_id, revision, state, user_id, unknown_id, similarity,
                    started_at, last_seen_at, ended_at, announced_at, faces, late, best_face_id,
                    reason, continues, liveness)
SELECT visit_id, camera_id, revision, state, user_id, unknown_id, similarity, started_at,
       last_seen_at, ended_at, announced_at, faces, late,
       CASE WHEN best_face_id = ANY($2::uuid[]) THEN best_face_id END, reason, continues, liveness
FROM json_to_recordset($1::json) AS visit (
    visit_id uuid, camera_id text, revision integer, state text, user_id uuid, unknown_id uuid,
    similarity float8, started_at timestamptz, last_seen_at timestamptz, ended_at timestamptz,
    announced_at timestamptz, faces integer, late integer, best_face_id uuid, reason text,
    continues uuid, liveness jsonb)
ORDER BY visit_id
ON CONFLICT (visit_id) DO UPDATE
SET revision = excluded.revision, state = excluded.state, user_id = excluded.user_id,
    unknown_id = excluded.unknown_id, similarity = excluded.similarity,
    started_at = excluded.started_at, last_seen_at = excluded.last_seen_at,
    ended_at = excluded.ended_at, announced_at = excluded.announced_at, faces = excluded.faces,
    late = excluded.late, best_face_id = excluded.best_face_id, reason = excluded.reason,
    continues = excluded.continues, liveness = excluded.liveness
"""

# Late faces, too, which the worker does not know of.
MERGE_FACES = """
UPDATE visit_faces SET visit_id = target FROM (
    SELECT face_id, target FROM unnest($1::uuid[], $2::uuid[]) AS merged (source, target)
    JOIN visit_faces AS part ON part.visit_id = source
    WHERE EXISTS (SELECT FROM visits WHERE visit_id = target)
    ORDER BY face_id FOR UPDATE OF part
) AS moved
WHERE visit_faces.face_id = moved.face_id
"""

MERGE_VISITS = """
UPDATE visits SET state = 'ended', ended_at = COALESCE(ended_at, last_seen_at), reason = 'merged'
WHERE visit_id = ANY($1::uuid[]) AND reason IS DISTINCT FROM 'merged'
"""

# A face, or a visit, without a row is left out.
FACES = """
INSERT INTO visit_faces AS stored (face_id, visit_id, camera_id, at, event_id, late)
SELECT face.id, visit_id, face.camera_id, COALESCE(face.seen_at, face.captured_at), face.event_id,
       part.late
FROM unnest($1::uuid[], $2::uuid[], $3::boolean[]) AS part (face_id, visit_id, late)
JOIN faces AS face ON face.id = part.face_id
JOIN visits USING (visit_id)
ORDER BY face.id
ON CONFLICT (face_id) DO UPDATE SET visit_id = excluded.visit_id, late = excluded.late
WHERE (stored.visit_id, stored.late) IS DISTINCT FROM (excluded.visit_id, excluded.late)
"""

# Late faces that were added to a visit which was thought to be over are unknown to the worker that
# writes it again, because it goes on or has taken over another one.
LATE_COUNTS = """
UPDATE visits SET faces = faces - late + number, late = number
FROM (
    SELECT visit_id, count(*) AS number FROM visit_faces
    WHERE visit_id = ANY($1::uuid[]) AND late
    GROUP BY visit_id
) AS counted
WHERE visits.visit_id = counted.visit_id AND late < number
"""

REMOVE_FACES = """
DELETE FROM visit_faces USING (
    SELECT face_id FROM visit_faces WHERE face_id = ANY($1::uuid[]) ORDER BY face_id FOR UPDATE
) AS removed
WHERE visit_faces.face_id = removed.face_id
"""

# Of two messages with one name the first counts.
MESSAGES = """
INSERT INTO visit_messages (visit_id, revision, camera_id, type, user_id, body)
SELECT visit_id, revision, camera_id, type, user_id, body
FROM json_to_recordset($1::json) AS message (
    place integer, visit_id uuid, revision integer, camera_id text, type text, user_id uuid,
    body jsonb)
ORDER BY place
ON CONFLICT (visit_id, revision) DO NOTHING
"""

# One who was erased in the meantime is not named any more, and a crop that is gone is not either.
UNSENT = """
SELECT message.type, message.body::text AS body, message.user_id,
       COALESCE(face.crop_key, best.crop_key) AS crop_key
FROM visit_messages AS message
LEFT JOIN faces AS face ON face.id = (message.body->>'best_face_id')::uuid
LEFT JOIN faces AS best ON best.id = face.best_face_id
WHERE message.camera_id = ANY($1::text[])
ORDER BY message.id
"""

SENT = """
DELETE FROM visit_messages USING (
    SELECT visit_id, revision FROM unnest($1::uuid[], $2::integer[]) AS sent (visit_id, revision)
    JOIN visit_messages AS message USING (visit_id, revision)
    ORDER BY visit_id, revision FOR UPDATE OF message
) AS held
WHERE visit_messages.visit_id = held.visit_id AND visit_messages.revision = held.revision
"""

HOLD_VISITS = """
SELECT visit_id FROM visits WHERE visit_id = ANY($1::uuid[]) ORDER BY visit_id FOR NO KEY UPDATE
"""

# The counts are those of the faces that were not stored before.
LATE_FACES = """
WITH stored AS (
    INSERT INTO visit_faces (face_id, visit_id, camera_id, at, event_id, late)
    SELECT face.id, visit_id, face.camera_id, COALESCE(face.seen_at, face.captured_at),
           face.event_id, true
    FROM unnest($1::uuid[], $2::uuid[]) AS part (face_id, visit_id)
    JOIN faces AS face ON face.id = part.face_id
    JOIN visits USING (visit_id)
    ORDER BY face.id
    ON CONFLICT (face_id) DO NOTHING
    RETURNING face_id, visit_id
), counted AS (
    UPDATE visits SET faces = faces + number, late = late + number
    FROM (SELECT visit_id, count(*) AS number FROM stored GROUP BY visit_id) AS added
    WHERE visits.visit_id = added.visit_id
)
SELECT face_id FROM stored
"""
