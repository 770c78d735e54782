/* How a visit is shown: who, from when to when, how sure. The same in every view. */

import { h } from "./dom.js";
import { picture } from "./pictures.js";
import { dayOf, duration, exactly, moment, nameOf, secondsSince, similarity, timeOfDay, words } from "./format.js";

/** Without a face for so long, it is said of a person who is there. */
const NOT_SEEN = 25;

/** What helps a guard; other reasons are as expected. */
const NOTES = {
  returned: "back again",
  maximum: "stayed: another visit continues",
  merged: "belongs to another visit",
};

export function who(visit) {
  if (visit.user) return nameOf(visit.user);
  return visit.user_id ? "Known, name not available" : "Unknown";
}

/** Distinguishes known and unknown by shape and colour; the name says it in words. */
export function mark(visit) {
  const isKnown = visit.user_id !== null;
  return h("span.mark", { "data-known": String(isKnown), "aria-hidden": "true" }, isKnown ? "✓" : "?");
}

/** The one score of a visit; nothing of an unknown, who was compared with no template of their own. */
export function score(visit) {
  if (visit.similarity === null) return null;
  const title = "cosine of the visit’s mean embedding and the person’s template";
  return h("span.score", { title }, h("span.score-word", {}, "similarity "), h("span.number", {}, similarity(visit.similarity)));
}

/** A word and a shape for each result; of others, the word that the server sent. */
const LIVENESS = {
  live: ["●", "live"],
  spoof: ["▲", "picture suspected"],
  input_rejected: ["○", "liveness not checked: poor picture"],
  not_run: ["○", "liveness not checked"],
};

/** Whether a person was there; nothing where it is not checked. */
export function liveness(visit) {
  if (!visit.liveness) return null;
  const { status, score: value } = visit.liveness;
  const [shape, word] = LIVENESS[status] ?? ["○", words(status)];
  const title = value === null ? "" : `probability of a person: ${similarity(value)}`;
  return h("span.liveness", { "data-status": status, title }, h("span", { "aria-hidden": "true" }, shape), ` ${word}`);
}

/** "14:03:22", or "14:03:22 – 14:05:10" of a visit that has ended; with the day unless it is today. */
export function times(visit) {
  const { started_at: from, ended_at: to } = visit;
  const start = h("time", { datetime: from, title: exactly(from) }, moment(from));
  if (to === null) return h("span.times", {}, "since ", start);
  const end = dayOf(from) === dayOf(to) ? timeOfDay(to) : moment(to);
  return h("span.times", {}, start, " – ", h("time", { datetime: to, title: exactly(to) }, end));
}

/** How long it was, or is until now. */
export function length(visit) {
  if (visit.ended_at !== null) return h("span.length", {}, duration(visit.seconds));
  const since = visit.started_at;
  return h("span.length.running", { "data-since": since }, duration(secondsSince(since)));
}

/** What else there is to know of it; empty if nothing. */
export function note(visit) {
  if (visit.state === "open") {
    const unseen = secondsSince(visit.last_seen_at);
    if (unseen > NOT_SEEN) return `last seen ${duration(unseen)} ago`;
    if (visit.continues) return "continues an earlier visit";
  }
  return NOTES[visit.reason] ?? "";
}

/**
 * Visits of one person, a line each: the camera is what differs.
 *
 * @param {object[]} visits the newest first
 * @param {(visit: object) => Node|null} action what may be done about one
 */
export function visitRows(visits, action = () => null) {
  return h("ol.seen", {}, visits.map((visit) => h("li.visit", { "data-known": String(visit.user_id !== null) },
    h("span.face", {}, picture(visit.crop_url)),
    h("span.who", {}, h("a.name", { href: `#/visits/${visit.visit_id}` }, visit.camera_id),
      visit.state === "open" ? h("span.here-now", {}, "here now") : null,
      h("span.note", {}, note(visit))),
    score(visit),
    h("span.when", {}, times(visit), length(visit)),
    action(visit))));
}
