"""Corrections of users and their photos, as SQL. Used by `sinks.main.people.user_corrections`.

The locks are taken in the order that `sinks.main.people.correction_statements` states.
"""

from sinks.main.people.correction_statements import STANDING

# Locked before they are kept, so that they are kept as they are when they change.
KEEP = """
WITH held AS MATERIALIZED (
    SELECT id, user_id, similarity, runner_up_similarity, decision, correction_id FROM faces
    WHERE {condition} ORDER BY id FOR NO KEY UPDATE
)
INSERT INTO corrected_faces (correction_id, face_id, user_id, similarity, runner_up_similarity,
                             decision, before)
SELECT $1, id, user_id, similarity, runner_up_similarity, decision, correction_id FROM held
RETURNING face_id
"""

KEEP_FACES_OF_USER = KEEP.format(condition="user_id = $2")

# A photo has a face for each model that has enrolled it.
PHOTOS = """
SELECT id FROM faces WHERE user_id = $1 AND kind = 'enrolled' AND event_uuid IN (
    SELECT event_uuid FROM faces WHERE id = ANY($2::uuid[]) AND user_id = $1 AND kind = 'enrolled')
"""

KEEP_PHOTOS = KEEP.format(condition="id = ANY($2::uuid[]) AND kind = 'enrolled'")

GIVE_FACES = """
UPDATE faces SET user_id = $2, correction_id = $1
WHERE id IN (SELECT face_id FROM corrected_faces WHERE correction_id = $1)
"""

TAKE_PHOTOS_OUT = """
UPDATE faces SET kind = 'removed', correction_id = $1
WHERE id IN (SELECT face_id FROM corrected_faces WHERE correction_id = $1)
"""

PHOTOS_OF_CORRECTION = """
SELECT DISTINCT event_uuid FROM corrected_faces JOIN faces ON faces.id = face_id
WHERE corrected_faces.correction_id = $1
"""

# Of an undo: those that no later correction has changed.
KEEP_FOR_UNDO = f"""
WITH RECURSIVE {STANDING.format(correction="$2")}, held AS MATERIALIZED (
    SELECT face.id, face.user_id, face.similarity, face.runner_up_similarity, face.decision,
           face.correction_id
    FROM standing JOIN faces AS face ON face.id = standing.face_id
    WHERE face.correction_id = standing.latest
    ORDER BY face.id FOR NO KEY UPDATE OF face
)
INSERT INTO corrected_faces (correction_id, face_id, user_id, similarity, runner_up_similarity,
                             decision, before)
SELECT $1, id, user_id, similarity, runner_up_similarity, decision, correction_id FROM held
RETURNING face_id
"""  # noqa: S608 - made of constants

GIVE_BACK = """
UPDATE faces SET user_id = before.user_id, correction_id = $1
FROM corrected_faces AS before, corrected_faces AS now
WHERE before.correction_id = $2 AND now.correction_id = $1 AND now.face_id = before.face_id
  AND faces.id = before.face_id
"""

PUT_PHOTOS_BACK = """
UPDATE faces SET kind = 'enrolled', correction_id = $1
WHERE kind = 'removed' AND id IN (
    SELECT face_id FROM corrected_faces WHERE correction_id = $1)
"""

# Those of visits, and those whose checkpoint names the user as text.
CAMERAS_OF_USER = """
SELECT camera_id FROM visits WHERE user_id = $1
UNION
SELECT camera_id FROM visit_cameras
WHERE position(convert_to($1::uuid::text, 'UTF8') IN checkpoint) > 0
"""

CAMERAS_OF_CORRECTION = """
SELECT DISTINCT camera_id FROM corrected_visits AS corrected JOIN visits USING (visit_id)
WHERE corrected.correction_id = $1
"""

KEEP_VISITS = """
WITH held AS MATERIALIZED (
    SELECT visit_id, user_id, similarity, correction_id FROM visits WHERE user_id = $2
    ORDER BY visit_id FOR NO KEY UPDATE
)
INSERT INTO corrected_visits (correction_id, visit_id, user_id, similarity, before)
SELECT $1, visit_id, user_id, similarity, correction_id FROM held
RETURNING visit_id
"""

GIVE_VISITS = """
UPDATE visits SET user_id = $2
WHERE visit_id IN (SELECT visit_id FROM corrected_visits WHERE correction_id = $1)
"""

# One that a person or the faces have given to another user since stays.
GIVE_VISITS_BACK = """
UPDATE visits SET user_id = before.user_id
FROM (
    SELECT visits.visit_id, before.user_id
    FROM corrected_visits AS before JOIN visits ON visits.visit_id = before.visit_id
    WHERE before.correction_id = $1 AND visits.user_id = $2
      AND visits.correction_id IS NOT DISTINCT FROM before.before
    ORDER BY visits.visit_id FOR NO KEY UPDATE OF visits
) AS before
WHERE visits.visit_id = before.visit_id
RETURNING visits.visit_id
"""

# What is not the one is not the other; where a face is theirs, nothing says that it is not.
JOIN_VETOES = """
INSERT INTO vetoes (correction_id, face_id, user_id)
SELECT DISTINCT $1::uuid, face_id, $2::uuid FROM vetoes
WHERE user_id = $3 AND withdrawn_by IS NULL
  AND NOT EXISTS (SELECT FROM faces WHERE id = face_id AND faces.user_id = $2)
"""

WITHDRAW_OWN_VETOES = """
UPDATE vetoes SET withdrawn_by = $1
WHERE user_id = $2 AND withdrawn_by IS NULL
  AND EXISTS (SELECT FROM faces WHERE id = face_id AND faces.user_id = $2)
"""

MERGE_USER = "UPDATE users SET is_active = false, merged_into = $2 WHERE id = $1"

PART_USER = "UPDATE users SET is_active = $2, merged_into = NULL WHERE id = $1"
