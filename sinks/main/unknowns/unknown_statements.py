"""What reads and changes the tables of unknowns, as SQL. Used by `sinks.main.unknowns`.

Every transaction takes its locks in one order: unknowns by id, members, pairs.
"""

MEMBERS = "SELECT visit_id, unknown_id FROM unknown_members WHERE visit_id = ANY($1::uuid[])"

# A face that was followed has the embedding of another one; one that is turned, or that a gate
# refused, does not say who it is, and one that a person has named is someone else's.
EVIDENCE = """
SELECT face.id AS face_id, face.quality, face.model
FROM visit_faces AS part JOIN faces AS face ON face.id = part.face_id
WHERE part.visit_id = $1 AND face.best_face_id IS NULL AND face.quality >= $2
  AND (face.decision IS NULL OR face.decision NOT IN ('unreliable', 'spoof_suspected'))
  AND (face.correction_id IS NULL OR face.user_id IS NULL)
ORDER BY face.quality DESC, face.id LIMIT $3
"""

# Unknowns with a face in a frame in which this visit has one, too: they are other people.
IN_THE_SAME_FRAMES = """
SELECT DISTINCT member.unknown_id
FROM visit_faces AS mine
JOIN visit_faces AS other ON other.camera_id = mine.camera_id AND other.at = mine.at
    AND other.event_id = mine.event_id AND other.visit_id <> mine.visit_id
JOIN unknown_members AS member ON member.visit_id = other.visit_id
WHERE mine.visit_id = $1
"""

# Of one that was merged into another, the other one. Locked in the order of ids.
CURRENT = """
SELECT unknown.id, unknown.state, unknown.model, unknown.user_id, unknown.visits
FROM unknowns AS unknown
WHERE unknown.id = ANY(ARRAY(
    SELECT COALESCE(merged_into, id) FROM unknowns WHERE id = ANY($1::uuid[])))
ORDER BY unknown.id FOR NO KEY UPDATE
"""

BEGIN_UNKNOWN = """
INSERT INTO unknowns (id, model, first_seen_at, last_seen_at)
SELECT $1, $2, started_at, last_seen_at FROM visits WHERE visit_id = $3 AND user_id IS NULL
ON CONFLICT (id) DO NOTHING RETURNING id
"""

# A visit that is a user's by now is no unknown's; who is making it a user's is waited for.
ADD_MEMBER = """
INSERT INTO unknown_members (visit_id, unknown_id, origin_id, similarity)
SELECT visit_id, $2, $3, $4 FROM visits WHERE visit_id = $1 AND user_id IS NULL FOR SHARE
ON CONFLICT (visit_id) DO NOTHING RETURNING visit_id
"""

BECAME = """
SELECT EXISTS (
    SELECT FROM unknown_members JOIN unknowns ON unknowns.id = unknown_id
    WHERE visit_id = $1 AND unknowns.user_id = $2)
"""

REMOVE_MEMBERS = """
DELETE FROM unknown_members WHERE visit_id = ANY($1::uuid[]) RETURNING unknown_id
"""

# Times are those of the cameras, which may differ: the smallest and the largest count. Only a new
# visit prolongs the retention.
COUNT_AGAIN = """
UPDATE unknowns SET visits = counted.number,
    first_seen_at = COALESCE(counted.first_seen_at, unknowns.first_seen_at),
    last_seen_at = COALESCE(counted.last_seen_at, unknowns.last_seen_at),
    changed_at = CASE WHEN $2 THEN now() ELSE unknowns.changed_at END,
    consolidation_due_at = clock_timestamp()
FROM (
    SELECT unknown.id, count(visit.visit_id) AS number, min(visit.started_at) AS first_seen_at,
           max(visit.last_seen_at) AS last_seen_at
    FROM unnest($1::uuid[]) AS unknown (id)
    LEFT JOIN unknown_members AS member ON member.unknown_id = unknown.id
    LEFT JOIN visits AS visit ON visit.visit_id = member.visit_id
    GROUP BY unknown.id
) AS counted
WHERE unknowns.id = counted.id RETURNING unknowns.id, unknowns.visits
"""

NOTE_DUE = "UPDATE unknowns SET templates_due = true WHERE id = ANY($1::uuid[])"

DELETE_EMPTY = """
DELETE FROM unknowns WHERE id = ANY($1::uuid[]) AND visits = 0 AND state IN ('open', 'dismissed')
RETURNING id
"""

ADD_PAIRS = """
INSERT INTO unknown_pairs (one, other, relation, reason)
SELECT LEAST($1::uuid, id), GREATEST($1::uuid, id), $3, $4
FROM unknowns WHERE id = ANY($2::uuid[]) AND id <> $1::uuid ORDER BY id
ON CONFLICT (one, other) DO NOTHING
"""

# --- Merges

LOCK_BOTH = """
SELECT id, state, first_seen_at, visits FROM unknowns WHERE id = ANY($1::uuid[])
ORDER BY id FOR NO KEY UPDATE
"""

# An operator may join what an operator has parted, and no one may join two people of one frame.
ARE_APART = """
SELECT EXISTS (SELECT FROM unknown_pairs
               WHERE one = LEAST($1::uuid, $2::uuid) AND other = GREATEST($1::uuid, $2::uuid)
                 AND relation = 'apart' AND (reason = 'frame' OR NOT $3::boolean))
"""

MOVE_MEMBERS = "UPDATE unknown_members SET unknown_id = $1 WHERE unknown_id = $2 RETURNING visit_id"

KEEP_AS_LONG = """
UPDATE unknowns SET changed_at = other.changed_at FROM unknowns AS other
WHERE unknowns.id = $1 AND other.id = $2 AND other.changed_at > unknowns.changed_at
"""

MOVE_MERGED = "UPDATE unknowns SET merged_into = $1 WHERE merged_into = $2"

# Two people stay apart, whichever unknown stands for them; that they were in one frame counts more
# than what an operator has said. Of two other relations to one, the first.
MOVE_PAIRS = """
INSERT INTO unknown_pairs (one, other, relation, reason, created_at)
SELECT LEAST($1::uuid, third), GREATEST($1::uuid, third), relation, reason, created_at
FROM (
    SELECT CASE one WHEN $2 THEN other ELSE one END AS third, relation, reason, created_at
    FROM unknown_pairs WHERE one = $2 OR other = $2
) AS moved
WHERE third <> $1::uuid
ORDER BY third
ON CONFLICT (one, other) DO UPDATE SET relation = excluded.relation, reason = excluded.reason
WHERE excluded.relation = 'apart'
  AND (unknown_pairs.relation, unknown_pairs.reason) <> ('apart', 'frame')
"""

DELETE_PAIRS = "DELETE FROM unknown_pairs WHERE one = $1 OR other = $1"

NOTE_JOINED = """
INSERT INTO unknown_pairs (one, other, relation, reason)
VALUES (LEAST($1::uuid, $2::uuid), GREATEST($1::uuid, $2::uuid), 'together', 'operator')
ON CONFLICT (one, other) DO UPDATE SET relation = excluded.relation, reason = excluded.reason
"""

DELETE_PROPOSALS = "DELETE FROM unknown_proposals WHERE unknown_id = $1 OR other_id = $1"

MARK_MERGED = """
UPDATE unknowns SET state = 'merged', merged_into = $1, templates_due = true, visits = 0,
    changed_at = now()
WHERE id = $2
"""

# --- Parts

MEMBERS_TO_PART = """
SELECT member.visit_id FROM unknown_members AS member JOIN visits AS visit USING (visit_id)
WHERE member.unknown_id = $1 AND visit_id = ANY($2::uuid[])
ORDER BY visit.started_at, visit_id FOR UPDATE OF member
"""

BEGIN_PART = """
INSERT INTO unknowns (id, model, first_seen_at, last_seen_at, changed_at, templates_due)
SELECT $1, model, first_seen_at, last_seen_at, changed_at, true FROM unknowns WHERE id = $2
"""

PART_MEMBERS = "UPDATE unknown_members SET unknown_id = $1 WHERE visit_id = ANY($2::uuid[])"

# What an operator has parted from the whole is parted from both halves.
COPY_PAIRS = """
INSERT INTO unknown_pairs (one, other, relation, reason)
SELECT LEAST($1::uuid, third), GREATEST($1::uuid, third), 'apart', 'operator'
FROM (
    SELECT CASE one WHEN $2 THEN other ELSE one END AS third
    FROM unknown_pairs WHERE (one = $2 OR other = $2) AND relation = 'apart' AND reason = 'operator'
) AS copied
ORDER BY third
"""

# Of each half of one that was parted, the unknowns who were in a frame with it. Where the faces of
# neither are left to say which of both it was, it was both.
PAIRS_OF_FRAMES = """
WITH seen AS (
    SELECT DISTINCT half.unknown_id AS half, member.unknown_id AS third
    FROM unknown_members AS half
    JOIN visit_faces AS mine ON mine.visit_id = half.visit_id
    JOIN visit_faces AS other ON other.camera_id = mine.camera_id AND other.at = mine.at
        AND other.event_id = mine.event_id AND other.visit_id <> mine.visit_id
    JOIN unknown_members AS member ON member.visit_id = other.visit_id
    WHERE half.unknown_id IN ($1, $2) AND member.unknown_id <> half.unknown_id
), noted AS (
    SELECT CASE one WHEN $2 THEN other ELSE one END AS third
    FROM unknown_pairs WHERE (one = $2 OR other = $2) AND reason = 'frame'
)
SELECT half, third FROM seen
UNION
SELECT half, third FROM noted CROSS JOIN unnest(ARRAY[$1, $2]) AS halves (half)
WHERE third NOT IN (SELECT third FROM seen)
"""

DELETE_PAIRS_OF_FRAMES = """
DELETE FROM unknown_pairs WHERE (one = $1 OR other = $1) AND reason = 'frame'
"""

WRITE_PAIRS_OF_FRAMES = """
INSERT INTO unknown_pairs (one, other, relation, reason)
SELECT DISTINCT LEAST(half, third), GREATEST(half, third), 'apart', 'frame'
FROM unnest($1::uuid[], $2::uuid[]) AS pair (half, third)
ORDER BY 1, 2
ON CONFLICT (one, other) DO UPDATE SET relation = 'apart', reason = 'frame'
"""

AUDIT = """
INSERT INTO audit (actor, action, target, detail, request_id)
VALUES ($1, $2, $3, $4::jsonb, $5)
"""

PROPOSALS = """
SELECT kind, unknown_id, other_id, similarity, proposal.created_at
FROM unknown_proposals AS proposal
JOIN unknowns AS one ON one.id = unknown_id AND one.state = 'open'
JOIN unknowns AS two ON two.id = other_id AND two.state = 'open'
ORDER BY similarity DESC, unknown_id, other_id LIMIT $1
"""

# --- Maintenance

# One that was parted has its exemplars still where they were.
DUE = """
SELECT id, ARRAY(
    SELECT origin_id FROM unknown_members WHERE unknown_id = unknown.id
    UNION
    SELECT CASE one WHEN unknown.id THEN other ELSE one END FROM unknown_pairs
    WHERE (one = unknown.id OR other = unknown.id) AND reason = 'operator'
) AS others
FROM unknowns AS unknown WHERE templates_due ORDER BY id LIMIT $1
"""

# Of one that was promoted, more is left to do than with its templates.
APPLIED = "UPDATE unknowns SET templates_due = false WHERE id = $1 AND state <> 'promoted'"

EXISTING = "SELECT id FROM unknowns WHERE id = ANY($1::uuid[])"

# Who has the exemplars of an unknown: of one that was merged the one that is left; of one that is a
# user no one.
HEIRS = """
SELECT unknown.id, CASE WHEN heir.state IN ('open', 'dismissed') THEN heir.id END AS heir
FROM unknowns AS unknown
JOIN unknowns AS heir ON heir.id = COALESCE(unknown.merged_into, unknown.id)
WHERE unknown.id = ANY($1::uuid[])
"""

PROMOTED = "SELECT id FROM unknowns WHERE id = ANY($1::uuid[]) AND state = 'promoted'"

LATEST_VISITS = """
SELECT visit_id, unknown.model FROM unknown_members AS member
JOIN visits AS visit USING (visit_id) JOIN unknowns AS unknown ON unknown.id = member.unknown_id
WHERE unknown.id = $1 AND visit.user_id IS NULL
ORDER BY visit.last_seen_at DESC, visit_id LIMIT $2
"""

CHANGED = """
SELECT id, consolidation_due_at FROM unknowns
WHERE state = 'open' AND model = $1 AND consolidation_due_at IS NOT NULL AND id > $2
ORDER BY id LIMIT $3
"""

# One that has changed again in the meantime is looked at again.
CONSOLIDATED = """
UPDATE unknowns SET consolidation_due_at = NULL
FROM unnest($1::uuid[], $2::timestamptz[]) AS seen (id, due_at)
WHERE unknowns.id = seen.id AND consolidation_due_at = seen.due_at
"""

PROPOSED_WITH = """
SELECT unknown_id, other_id FROM unknown_proposals
WHERE kind = 'merge' AND (unknown_id = ANY($1::uuid[]) OR other_id = ANY($1::uuid[]))
"""

OPEN_ONES = """
SELECT id, first_seen_at, EXISTS (
    SELECT FROM unknown_pairs
    WHERE relation = 'together' AND (one = unknown.id OR other = unknown.id)
) AS joined
FROM unknowns AS unknown WHERE state = 'open' AND id = ANY($1::uuid[]) ORDER BY id
"""

APART = """
SELECT one, other FROM unknown_pairs
WHERE relation = 'apart' AND (one = ANY($1::uuid[]) OR other = ANY($1::uuid[]))
"""

FORGET_PROPOSALS = """
DELETE FROM unknown_proposals
WHERE unknown_id = ANY($1::uuid[]) OR other_id = ANY($1::uuid[])
"""

PROPOSE = """
INSERT INTO unknown_proposals (unknown_id, other_id, kind, similarity)
SELECT one.id, two.id, kind, similarity
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::float8[])
    AS asked (unknown_id, other_id, kind, similarity)
JOIN unknowns AS one ON one.id = asked.unknown_id AND one.state = 'open'
JOIN unknowns AS two ON two.id = asked.other_id AND two.state = 'open'
ORDER BY one.id, two.id
ON CONFLICT (unknown_id, other_id) DO UPDATE SET similarity = excluded.similarity
"""
