"""Corrections of faces and visits, as SQL. Used by `sinks.main.people.correction_store`.

Locks are taken in the order of a commit of visits: users, faces, cameras, visits, messages; of each
kind by key.
"""

USERS = """
SELECT id, is_active, merged_into FROM users WHERE id = ANY($1::uuid[])
ORDER BY id FOR {lock}
"""

_LABEL = """
face.id AS face_id, face.user_id, face.similarity, face.runner_up_similarity, face.decision,
face.correction_id, COALESCE(face.best_face_id, face.id) AS embedded_as, face.quality,
face.best_face_id IS NULL AS has_embedding
"""

FACE = f"""
SELECT {_LABEL} FROM faces AS face WHERE id = $1 AND kind = 'frame' FOR NO KEY UPDATE
"""  # noqa: S608 - made of constants, as below

FACES_OF_VISIT = f"""
SELECT {_LABEL} FROM faces AS face
WHERE id IN (SELECT face_id FROM visit_faces WHERE visit_id = $1) AND kind = 'frame'
ORDER BY id FOR NO KEY UPDATE
"""  # noqa: S608

#: The faces of a correction of which nothing else is said: ``standing``, each with its ``latest``
#: correction, which is an undo where a later correction was undone.
STANDING = """
said AS (
    SELECT face.id AS face_id, face.correction_id AS latest, face.correction_id AS said
    FROM corrected_faces AS one JOIN faces AS face ON face.id = one.face_id
    WHERE one.correction_id = {correction}
    UNION
    SELECT said.face_id, said.latest, kept.before FROM said
    JOIN corrections AS undo ON undo.id = said.said
    JOIN corrected_faces AS kept
        ON kept.correction_id = undo.undoes AND kept.face_id = said.face_id
), standing AS (
    SELECT face_id, latest FROM said WHERE said = {correction}
)
"""

# What was said before a correction that was undone in the meantime, where a later one stood.
_UNDONE_BEFORE = """UNION ALL
    SELECT kept.{which}, kept.user_id, kept.similarity, {columns}kept.before, origin.steps + 1
    FROM origin JOIN corrections AS undo ON undo.undoes = origin.before
    JOIN {table} AS kept
        ON kept.correction_id = origin.before AND kept.{which} = origin.{which}"""

# With what was said before.
FACES_OF_CORRECTION = f"""
WITH RECURSIVE {STANDING.format(correction="$1")}, origin AS (
    SELECT face_id, user_id, similarity, runner_up_similarity, decision, before, 0 AS steps
    FROM corrected_faces WHERE correction_id = $1
    {
    _UNDONE_BEFORE.format(
        which="face_id",
        table="corrected_faces",
        columns="kept.runner_up_similarity, kept.decision, ",
    )
}
), earliest AS (
    SELECT DISTINCT ON (face_id) * FROM origin ORDER BY face_id, steps DESC
)
SELECT {_LABEL}, face.correction_id = standing.latest AS stands,
       before.user_id AS before_user_id, before.similarity AS before_similarity,
       before.runner_up_similarity AS before_runner_up_similarity,
       before.decision AS before_decision
FROM earliest AS before JOIN faces AS face ON face.id = before.face_id
LEFT JOIN standing ON standing.face_id = face.id
ORDER BY face.id FOR NO KEY UPDATE OF face
"""  # noqa: S608

ADD = """
INSERT INTO corrections (id, kind, actor, user_id, other_user_id, face_id, visit_id, undoes,
                         unknown_id, detail)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::jsonb) RETURNING made_at
"""

AUDIT = """
INSERT INTO audit (actor, action, target, detail, request_id) VALUES ($1, $2, $3, $4::jsonb, $5)
"""

WORK = "INSERT INTO correction_work (correction_id) VALUES ($1)"

KEEP_FACES = """
INSERT INTO corrected_faces (correction_id, face_id, user_id, similarity, runner_up_similarity,
                             decision, before)
SELECT $1, id, user_id, similarity, runner_up_similarity, decision, correction_id
FROM faces WHERE id = ANY($2::uuid[])
"""

LABEL_FACES = """
UPDATE faces SET user_id = label.user_id, similarity = label.similarity,
    runner_up_similarity = label.runner_up_similarity, decision = label.decision,
    candidate_id = CASE WHEN label.user_id IS NULL THEN faces.candidate_id END, correction_id = $1
FROM unnest($2::uuid[], $3::uuid[], $4::float8[], $5::float8[], $6::text[])
     AS label (face_id, user_id, similarity, runner_up_similarity, decision)
WHERE faces.id = label.face_id
"""

CAMERA_OF_VISIT = """
SELECT camera_id FROM visits
WHERE visit_id = $1 AND revision > 0 AND reason IS DISTINCT FROM 'merged'
"""

# The worker that has this camera in memory reads it again, from the faces as they are now.
TOUCH_CAMERAS = """
UPDATE visit_cameras
SET version = version + 1, checkpoint = NULL, checkpoint_at = NULL, checkpoint_event = NULL
FROM (
    SELECT camera_id FROM visit_cameras WHERE camera_id = ANY($1::text[])
    ORDER BY camera_id FOR NO KEY UPDATE
) AS held
WHERE visit_cameras.camera_id = held.camera_id
"""

VISIT = """
SELECT visit_id, camera_id, revision, state, user_id, unknown_id, similarity, started_at,
       last_seen_at, ended_at, announced_at, faces, late, best_face_id, reason, continues,
       liveness::text AS liveness, correction_id
FROM visits WHERE visit_id = $1 AND revision > 0 AND reason IS DISTINCT FROM 'merged'
FOR NO KEY UPDATE
"""

KEEP_VISIT = """
INSERT INTO corrected_visits (correction_id, visit_id, user_id, similarity, before)
SELECT $1, visit_id, user_id, similarity, correction_id FROM visits WHERE visit_id = $2
"""

LABEL_VISIT = """
UPDATE visits SET user_id = $2, similarity = $3, correction_id = $4, revision = revision + 1,
    reason = 'corrected'
WHERE visit_id = $1
"""

#: The visits of a correction with what was said before: ``earliest``.
ORIGIN_OF_VISITS = f"""
origin AS (
    SELECT visit_id, user_id, similarity, before, 0 AS steps
    FROM corrected_visits WHERE correction_id = $1
    {_UNDONE_BEFORE.format(which="visit_id", table="corrected_visits", columns="")}
), earliest AS (
    SELECT DISTINCT ON (visit_id) * FROM origin ORDER BY visit_id, steps DESC
)
"""  # noqa: S608

VISIT_OF_CORRECTION = f"""
WITH RECURSIVE {ORIGIN_OF_VISITS}
SELECT before.visit_id, camera_id, before.user_id, before.similarity, before
FROM earliest AS before JOIN visits ON visits.visit_id = before.visit_id
"""  # noqa: S608

# Whom an undo may name, and so holds first.
NAMED_BEFORE = """
SELECT user_id FROM corrected_faces WHERE user_id IS NOT NULL AND face_id IN (
    SELECT face_id FROM corrected_faces WHERE correction_id = $1)
UNION
SELECT user_id FROM corrected_visits WHERE user_id IS NOT NULL AND visit_id IN (
    SELECT visit_id FROM corrected_visits WHERE correction_id = $1)
"""

# Whom a correction may name in a veto.
NAMED_NOW = """
SELECT DISTINCT user_id FROM faces
WHERE user_id IS NOT NULL AND (id = $1 OR id IN (
    SELECT face_id FROM visit_faces WHERE visit_id = $2))
"""

# Of which a person has said before that they are not this user's.
DENIED = """
SELECT face_id FROM vetoes WHERE face_id = ANY($1::uuid[]) AND user_id = $2 AND withdrawn_by IS NULL
"""

DENIED_BEFORE = """
SELECT EXISTS (SELECT FROM corrections WHERE id = $1 AND kind = 'not_user' AND user_id = $2)
"""

ADD_VETOES = """
INSERT INTO vetoes (correction_id, face_id, user_id)
SELECT $1, face_id, user_id FROM unnest($2::uuid[], $3::uuid[]) AS veto (face_id, user_id)
WHERE EXISTS (SELECT FROM faces WHERE id = face_id)
  AND EXISTS (SELECT FROM users WHERE id = user_id)
"""

# A person who says that a face is this user says so of its embedding.
WITHDRAW_VETOES = """
UPDATE vetoes SET withdrawn_by = $1
WHERE face_id = ANY($2::uuid[]) AND user_id = $3 AND withdrawn_by IS NULL
"""

DELETE_VETOES = "DELETE FROM vetoes WHERE correction_id = $1 RETURNING face_id"

RESTORE_VETOES = "UPDATE vetoes SET withdrawn_by = NULL WHERE withdrawn_by = $1 RETURNING face_id"

# A merge has copied the vetoes of the user who was merged: a copy stands while one of these does.
DELETE_COPIED_VETOES = """
DELETE FROM vetoes AS copied USING corrections AS one
WHERE one.id = copied.correction_id AND one.kind = 'merge' AND copied.face_id = ANY($1::uuid[])
  AND NOT EXISTS (
      SELECT FROM vetoes WHERE face_id = copied.face_id AND user_id = one.other_user_id
      AND withdrawn_by IS NULL)
RETURNING copied.face_id
"""

COPY_VETOES = """
INSERT INTO vetoes (correction_id, face_id, user_id)
SELECT DISTINCT one.id, veto.face_id, one.user_id
FROM vetoes AS veto JOIN corrections AS one
    ON one.kind = 'merge' AND one.other_user_id = veto.user_id
WHERE veto.face_id = ANY($1::uuid[]) AND veto.withdrawn_by IS NULL
  AND NOT EXISTS (SELECT FROM corrections WHERE undoes = one.id)
  AND NOT EXISTS (
      SELECT FROM faces WHERE id = veto.face_id AND faces.user_id = one.user_id)
ON CONFLICT DO NOTHING
RETURNING face_id
"""

_CORRECTION = """
one.id, one.made_at, one.kind, one.actor, one.user_id, one.other_user_id, one.face_id, one.visit_id,
one.unknown_id, one.undoes, later.id AS undone_by, one.detail::text AS detail
"""

CORRECTION = f"""
SELECT {_CORRECTION} FROM corrections AS one LEFT JOIN corrections AS later ON later.undoes = one.id
WHERE one.id = $1
"""  # noqa: S608

# Others who undo it wait.
HOLD_CORRECTION = "SELECT id FROM corrections WHERE id = $1 FOR UPDATE"

CORRECTIONS = f"""
SELECT {_CORRECTION} FROM corrections AS one LEFT JOIN corrections AS later ON later.undoes = one.id
WHERE ($1::uuid IS NULL OR one.user_id = $1 OR one.other_user_id = $1)
  AND ($2::timestamptz IS NULL OR (one.made_at, one.id) < ($2, $3::uuid))
ORDER BY one.made_at DESC, one.id DESC LIMIT $4
"""  # noqa: S608

# What was said of an unknown who became the user, too.
_OF_USER = "user_id = $1 OR other_user_id = $1 OR unknown_id = ANY($2::uuid[])"

COUNT_OF_USER = f"SELECT count(*) FROM corrections WHERE {_OF_USER}"  # noqa: S608

FORGET_USER = f"DELETE FROM corrections WHERE {_OF_USER} RETURNING 1"  # noqa: S608

MERGED_INTO = "SELECT id FROM users WHERE merged_into = $1 ORDER BY id"

#: Where these tables name users or faces, and what an erasure does about it.
ERASED_PLACES = {
    "users.merged_into": "users who were merged into the user are erased with the user",
    "corrections.user_id": "the correction is deleted",
    "corrections.other_user_id": "the correction is deleted",
    "corrections.unknown_id": "the correction is deleted, if the unknown became the user",
    "corrections.face_id": "goes with the correction; else it is an unknown's",
    "corrections.detail": "numbers; goes with the correction",
    "corrected_faces.user_id": "unlinked, or goes with the correction",
    "corrected_faces.face_id": "goes with the correction; else it is an unknown's",
    "corrected_visits.user_id": "unlinked, or goes with the correction",
    "vetoes.user_id": "the veto is deleted",
    "vetoes.face_id": "goes with the veto; else it is an unknown's",
}
