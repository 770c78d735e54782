/* Parts that several views show: problems, empty states, bars, times. */

import { Problem, Unreachable } from "./api.js";
import { h, say } from "./dom.js";
import { ago, duration, exactly, measured, moment, secondsSince, similarity, words } from "./format.js";

const TITLES = {
  unreachable: "No connection",
  key_missing: "An API key is needed",
  key_invalid: "The API key was refused",
  scope_missing: "This key may not do that",
  too_many_requests: "Too many requests",
  too_many_listeners: "Too many open consoles",
  too_many_streams: "Too many open consoles with this key",
  too_busy: "Too many requests like this at once",
  too_slow: "The upload took too long",
  store_unavailable: "A store is unavailable",
  broker_unavailable: "The broker is unavailable",
  user_not_found: "There is no such person",
  visit_not_found: "There is no such visit",
  unknown_not_found: "There is no such unknown person",
  unknown_is_user: "This person has a name already",
  same_user: "This is the same person",
  already_undone: "Undone already",
  too_late_to_undo: "Too late to undo",
  email_taken: "This address is already in use",
  external_id_taken: "This id is already in use",
  user_inactive: "This person is deactivated",
  upload_failed: "Not processed",
  no_face: "No face",
  several_faces: "Several faces",
  poor_quality: "Poor quality",
  looks_like_another_user: "Looks like another person",
  unlike_own_photos: "Unlike this person's photos",
  photo_too_large: "The file is too large",
  too_large: "The file is too large",
  too_many_bytes: "The file is too large",
  too_many_pixels: "The picture is too large",
  unsupported_format: "Not a JPEG, PNG or WebP",
  empty: "The file is empty",
  corrupt: "The picture is damaged",
  degenerate: "The picture is too small",
};

/** What went wrong, in a few words. */
export function titleOf(code) {
  return TITLES[code] ?? (code ? words(code).replace(/^./, (c) => c.toUpperCase()) : "Refused");
}

/** Why something failed, in a sentence, with what to do about it. */
export function reasonOf(error) {
  if (error instanceof Unreachable) return "The server does not answer. Is it running?";
  if (!(error instanceof Problem)) return "Something in this page failed; see the browser's log.";
  if (error.code === "key_missing") return "Without a key, nothing can be shown.";
  const text = error.message.replace(/^./, (c) => c.toUpperCase()).replace(/\.+$/, "");
  const wait = error.retryAfter;
  return wait ? `${text}. Another attempt makes sense in ${wait} s.` : `${text}.`;
}

/** A failure as a box, with a button to try again where that may help. */
export function problemBox(error, again) {
  if (!(error instanceof Problem) && !(error instanceof Unreachable)) console.error(error);
  const code = error instanceof Unreachable ? "unreachable" : error.code;
  const id = error.requestId;
  return h(
    "div.problem",
    { role: "alert" },
    h("h2", {}, error instanceof Problem || code ? titleOf(code) : "This page failed"),
    h("p", {}, reasonOf(error)),
    id ? h("p.fine", {}, "Request ", h("code", {}, id)) : null,
    again ? h("button", { type: "button", on: { click: again } }, "Try again") : null,
  );
}

/** The text of an empty list. */
export function emptyState(title, ...lines) {
  return h("div.empty", {}, h("p.empty-title", {}, title), lines.map((line) => h("p", {}, line)));
}

/** A similarity as number and bar; a mark shows the threshold where it is known. */
export function similarityBar(value, threshold = null) {
  const fillPart = h("span.bar-fill");
  fillPart.style.setProperty("width", `${100 * Math.min(1, Math.max(0, value ?? 0))}%`);
  const bar = h("span.bar", { "aria-hidden": "true" }, fillPart);
  if (threshold !== null) {
    const mark = h("span.bar-mark");
    mark.style.setProperty("left", `${100 * Math.min(1, Math.max(0, threshold))}%`);
    bar.append(mark);
  }
  return h("span.similarity", { title: "similarity: cosine of face and template" }, bar,
    h("span.number", {}, similarity(value)));
}

/** A moment; `isRelative` counts its age on by itself. */
export function timeElement(iso, { isRelative = false } = {}) {
  const element = h("time", { datetime: iso, title: exactly(iso) });
  if (isRelative) element.dataset.relative = "";
  say(element, isRelative ? ago(iso) : moment(iso));
  return element;
}

setInterval(() => {
  for (const element of document.querySelectorAll("time[data-relative]")) {
    say(element, ago(element.dateTime));
  }
  for (const element of document.querySelectorAll("[data-since]")) {
    say(element, duration(secondsSince(element.dataset.since)));
  }
}, 1000);

/** Measured values as a list of terms. */
export function measureList(measures) {
  const entries = Object.entries(measures ?? {});
  if (!entries.length) return null;
  return h(
    "dl.measures",
    {},
    entries.map(([name, value]) =>
      h("div", {}, h("dt", {}, words(name)), h("dd", {}, measured(name, value))),
    ),
  );
}
