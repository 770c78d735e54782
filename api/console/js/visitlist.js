/* The visits that the server has announced: the newest copy of each. */

/** Visits that have ended and are kept. */
const KEPT = 300;

export class VisitList {
  #entries = new Map();
  #erased = new Set();
  #changes = 0;

  /** Counts the changes: a position for `settle`. */
  get changes() {
    return this.#changes;
  }

  get size() {
    return this.#entries.size;
  }

  /** Visits of people who are there: who came last is first. */
  get open() {
    return this.#sorted((visit) => visit.state === "open", "started");
  }

  /** Visits that have ended: who left last is first. */
  get left() {
    return this.#sorted(hasLeft, "ended");
  }

  find(visitId) {
    return this.#entries.get(visitId)?.visit;
  }

  /**
   * Take a copy of a visit.
   *
   * @param {object} copy as the API gives it
   * @param {boolean} isStored whether it was read from the database. Erasure and counts make no
   *   new revision, so a stored copy replaces one with the same revision.
   * @returns {{visit: object, before: object|undefined}|null} null for an old copy
   */
  take(copy, isStored = false) {
    const before = this.find(copy.visit_id);
    const isNewer = !before || copy.revision > before.revision;
    if (!isNewer && !(isStored && copy.revision === before.revision)) return null;
    const visit = this.#erased.has(copy.user_id) ? asUnknown(copy) : copy;
    this.#put(visit);
    if (hasLeft(visit) && !(before && hasLeft(before))) this.#trim();
    return { visit, before };
  }

  /**
   * Take the visits that are open now. Other visits are not open any more, but for those
   * that have changed since the question: a visit that has ended and was not announced is dropped.
   */
  settle(open, isWhole, since) {
    for (const visit of open) this.take(visit, true);
    if (!isWhole) return;
    const ids = new Set(open.map((visit) => visit.visit_id));
    for (const [id, { visit, change }] of this.#entries) {
      if (visit.state === "open" && change <= since && !ids.has(id)) this.#entries.delete(id);
    }
  }

  /** A person was erased: the visits are an unknown's, now and when old copies come again. */
  forget(userId) {
    this.#erased.add(userId);
    for (const { visit } of this.#entries.values()) {
      if (visit.user_id === userId) this.#put(asUnknown(visit));
    }
  }

  #put(visit) {
    this.#changes += 1;
    this.#entries.set(visit.visit_id, {
      visit,
      change: this.#changes,
      started: Date.parse(visit.started_at),
      ended: Date.parse(visit.last_seen_at),
    });
  }

  #sorted(isWanted, time) {
    return [...this.#entries.values()]
      .filter(({ visit }) => isWanted(visit))
      .sort((one, other) => other[time] - one[time] || (one.visit.visit_id < other.visit.visit_id ? 1 : -1))
      .map(({ visit }) => visit);
  }

  #trim() {
    for (const visit of this.left.slice(KEPT)) this.#entries.delete(visit.visit_id);
  }
}

/** A visit that belongs to another one is not shown. It is kept so that its old copies stay out. */
function hasLeft(visit) {
  return visit.state === "ended" && visit.reason !== "merged";
}

function asUnknown(visit) {
  return { ...visit, user_id: null, user: null, similarity: null, crop_url: null, snapshot_url: null };
}
