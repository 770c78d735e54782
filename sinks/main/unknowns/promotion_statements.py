"""Promotions and dismissals of unknowns, as SQL. Used by `sinks.main.unknowns.unknown_corrections`.

The locks are taken in the order that `sinks.main.people.correction_statements` states; the unknown
comes after the users.
"""

from sinks.main.people.correction_statements import ORIGIN_OF_VISITS
from sinks.main.people.user_statements import KEEP

# Of one that was merged into another, the other one.
CURRENT = "SELECT COALESCE(merged_into, id) FROM unknowns WHERE id = $1"

HOLD = "SELECT id, state, user_id FROM unknowns WHERE id = $1 FOR NO KEY UPDATE"

SET_STATE = "UPDATE unknowns SET state = $2, user_id = $3, templates_due = $4 WHERE id = $1"

#: The last thing that was said of an unknown and was not undone.
STANDING_CORRECTION = """
SELECT id FROM corrections AS one
WHERE unknown_id = $1 AND kind = $2 AND NOT EXISTS (SELECT FROM corrections WHERE undoes = one.id)
ORDER BY made_at DESC, id DESC LIMIT 1
"""

# A user who was merged into another one is that one.
LEFT_USER = """
WITH RECURSIVE chain AS (
    SELECT id, merged_into FROM users WHERE id = $1
    UNION
    SELECT users.id, users.merged_into FROM chain JOIN users ON users.id = chain.merged_into
)
SELECT id FROM chain WHERE merged_into IS NULL
"""

ADD_USER = "INSERT INTO users (email, full_name) VALUES ($1, $2) RETURNING id"

NAME_OF_USER = "SELECT email, full_name FROM users WHERE id = $1"

_FACES = """
SELECT face_id FROM visit_faces JOIN unknown_members USING (visit_id) WHERE unknown_id = $2
"""

# What a person says of the unknown is said of these faces.
WITHDRAW_VETOES = f"""
UPDATE vetoes SET withdrawn_by = $1
WHERE user_id = $3 AND withdrawn_by IS NULL AND face_id IN ({_FACES})
"""  # noqa: S608 - made of constants

KEEP_FACES = KEEP.format(condition=f"user_id IS NULL AND kind = 'frame' AND id IN ({_FACES})")

GIVE_FACES = """
UPDATE faces SET user_id = $2, correction_id = $1, decision = 'matched', similarity = NULL,
    runner_up_similarity = NULL, candidate_id = NULL
WHERE id IN (SELECT face_id FROM corrected_faces WHERE correction_id = $1)
"""

_VISITS = """
user_id IS NULL AND revision > 0 AND reason IS DISTINCT FROM 'merged'
AND visit_id IN (SELECT visit_id FROM unknown_members WHERE unknown_id = {unknown})
"""

CAMERAS = f"SELECT DISTINCT camera_id FROM visits WHERE {_VISITS.format(unknown='$1')}"  # noqa: S608

KEEP_VISITS = f"""
WITH held AS MATERIALIZED (
    SELECT visit_id, user_id, similarity, correction_id FROM visits
    WHERE {_VISITS.format(unknown="$2")} ORDER BY visit_id FOR NO KEY UPDATE
)
INSERT INTO corrected_visits (correction_id, visit_id, user_id, similarity, before)
SELECT $1, visit_id, user_id, similarity, correction_id FROM held
RETURNING visit_id
"""  # noqa: S608

GIVE_VISITS = """
UPDATE visits SET user_id = $2, similarity = NULL, correction_id = $1, revision = revision + 1,
    reason = 'corrected'
WHERE visit_id IN (SELECT visit_id FROM corrected_visits WHERE correction_id = $1)
"""

# One of which a person has said something since stays as it is. A user who was merged into another
# one since is that one.
GIVE_VISITS_BACK = f"""
WITH RECURSIVE {ORIGIN_OF_VISITS}, earlier AS (
    SELECT visits.visit_id, before.similarity, before.before,
           COALESCE(merged.into_id, before.user_id) AS user_id
    FROM earliest AS before JOIN visits ON visits.visit_id = before.visit_id
    LEFT JOIN unnest($3::uuid[], $4::uuid[]) AS merged (id, into_id) ON merged.id = before.user_id
    WHERE visits.user_id = $2 AND visits.correction_id = $1
      AND visits.reason IS DISTINCT FROM 'merged'
    ORDER BY visits.visit_id FOR NO KEY UPDATE OF visits
)
UPDATE visits SET user_id = earlier.user_id, correction_id = earlier.before,
    similarity = CASE WHEN earlier.user_id IS NOT NULL THEN earlier.similarity END,
    revision = revision + 1, reason = 'corrected'
FROM earlier WHERE visits.visit_id = earlier.visit_id
RETURNING visits.visit_id
"""  # noqa: S608

VISITS = """
SELECT visit_id, camera_id, revision, state, user_id, unknown_id, similarity, started_at,
       last_seen_at, ended_at, announced_at, faces, late, best_face_id, reason, continues,
       liveness::text AS liveness, correction_id
FROM visits WHERE visit_id = ANY($1::uuid[]) ORDER BY visit_id
"""

# Those that are enrolled for the user: one that was taken out or split off since stays so.
KEEP_PHOTOS = KEEP.format(
    condition="""kind = 'enrolled' AND user_id = $2 AND event_uuid IN (
        SELECT event_uuid FROM promoted_photos WHERE correction_id = $3)"""
)

TAKE_PHOTOS_OUT = """
UPDATE faces SET kind = 'removed', correction_id = $1
WHERE kind = 'enrolled' AND id IN (SELECT face_id FROM corrected_faces WHERE correction_id = $1)
"""

FORGET_ENROLMENTS = """
DELETE FROM events WHERE kind = 'enrol'
  AND event_uuid IN (SELECT event_uuid FROM promoted_photos WHERE correction_id = $1)
"""

# --- The templates of one unknown, which follow its state

STATE = "SELECT state FROM unknowns WHERE id = $1 FOR NO KEY UPDATE"

# A visit that is gone may be part of a template; one that is a user's may not.
WITHDRAWN_VISITS = """
SELECT visit_id FROM visits
WHERE visit_id = ANY($1::uuid[])
  AND NOT EXISTS (SELECT FROM unknown_members AS member WHERE member.visit_id = visits.visit_id)
"""

APPLIED = "UPDATE unknowns SET templates_due = false WHERE id = $1"
