/* From single matches to visits: a person who waits at a door is one line, not thirty per second. */

/** Longest pause between two matches of one visit. */
const LONGEST_PAUSE = 10_000;
/** Faces of unknowns belong together when their boxes overlap at least so much. */
const LEAST_OVERLAP = 0.2;
const KEPT_VISITS = 200;
const KEPT_FACES = 5000;

/** Intersection over union of two boxes given as x, y, width, height. */
export function overlap([ax, ay, aw, ah], [bx, by, bw, bh]) {
  const width = Math.min(ax + aw, bx + bw) - Math.max(ax, bx);
  const height = Math.min(ay + ah, by + bh) - Math.max(ay, by);
  if (width <= 0 || height <= 0) return 0;
  const shared = width * height;
  return shared / (aw * ah + bw * bh - shared);
}

/**
 * Whether a match goes on with a visit: the same person at the same camera without a long pause;
 * of unknowns, about the same place in the picture.
 */
export function continues(visit, match) {
  const { last } = visit;
  const pause = Math.abs(Date.parse(match.seen_at) - Date.parse(last.seen_at));
  return (
    match.camera_id === last.camera_id &&
    match.user_id === last.user_id &&
    pause <= LONGEST_PAUSE &&
    (match.user_id !== null || overlap(match.box, last.box) >= LEAST_OVERLAP)
  );
}

/** The latest visits, newest first by their beginning. */
export class Visits {
  #faces = new Set();
  list = [];

  /**
   * Take a match in.
   *
   * @returns {{visit: object, isNew: boolean, at: number}|null} null when it is already here;
   *   `at` is the visit's place in the list
   */
  add(match) {
    if (this.#faces.has(match.face_id)) return null;
    this.#remember(match.face_id);
    const found = this.list.findIndex((visit) => continues(visit, match));
    if (found >= 0) {
      const visit = this.list[found];
      visit.count += 1;
      if (match.seen_at >= visit.last.seen_at) visit.last = match;
      if (match.quality > visit.best.quality) visit.best = match;
      return { visit, isNew: false, at: found };
    }
    const visit = { first: match, last: match, best: match, count: 1 };
    let at = this.list.findIndex((other) => other.first.seen_at <= match.seen_at);
    if (at < 0) at = this.list.length;
    this.list.splice(at, 0, visit);
    this.list.length = Math.min(this.list.length, KEPT_VISITS);
    return at < KEPT_VISITS ? { visit, isNew: true, at } : null;
  }

  /** Drop everything of a person, who was erased. */
  forget(userId) {
    this.list = this.list.filter((visit) => visit.last.user_id !== userId);
  }

  #remember(faceId) {
    this.#faces.add(faceId);
    if (this.#faces.size > KEPT_FACES) this.#faces.delete(this.#faces.values().next().value);
  }
}
