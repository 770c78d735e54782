/* One person: photos, where last seen, and the way out. */

import { actionButton, oneAtATime } from "../actions.js";
import { call, callWith } from "../api.js";
import { correct } from "../corrections.js";
import { confirmDanger, notice } from "../dialogs.js";
import { fill, h } from "../dom.js";
import { count, dayOf, marksOf, nameOf } from "../format.js";
import { live } from "../live.js";
import { emptyState, timeElement } from "../parts.js";
import { picture } from "../pictures.js";
import { visitRows } from "../visitparts.js";
import { askWho } from "../whois.js";

const PHOTOS = 60;
const VISITS = 50;

export async function showPerson(view) {
  const { root, signal, params } = view;
  const [id] = params;
  const [user, faces, visits] = await Promise.all([
    call(`/users/${id}`, { signal }),
    call(`/users/${id}/faces?limit=${PHOTOS}`, { signal }),
    call(`/visits?user_id=${id}&limit=${VISITS}`, { signal }),
  ]);
  document.title = `${nameOf(user)} · Fecapass`;
  const errors = h("div");
  const again = async () => {
    await showPerson(view);
    root.focus({ preventScroll: true }); // the button that had the focus is another one now
  };
  const act = oneAtATime(errors);

  fill(root,
    h("p.crumb", {}, h("a", { href: "#/people" }, "People")),
    head(user, faces.items, act, again, signal),
    errors,
    photos(user, faces, act, again, signal),
    seen(user, act, again, signal, visits));
}

function head(user, faces, act, again, signal) {
  const toggle = h("button", { type: "button" }, user.is_active ? "Deactivate" : "Activate");
  toggle.addEventListener("click", act(async () => {
    await callWith("PATCH", `/users/${user.id}`, { is_active: !user.is_active });
    notice(user.is_active ? `${nameOf(user)} is no longer recognised` : `${nameOf(user)} is recognised again`);
    await again();
  }));
  const merge = actionButton("Merge", act, () => mergeInto(user, again, signal),
    { label: `Merge another person into ${nameOf(user)}` });
  const erase = h("button.danger", { type: "button" }, "Delete");
  erase.addEventListener("click", act(() => eraseUser(user)));
  const seen = user.last_seen_at
    ? ["Last seen ", timeElement(user.last_seen_at, { isRelative: true }), " at ",
      h("strong", {}, user.last_camera_id)]
    : "Not seen by any camera";
  return h("div.person-head", {},
    picture(faces[0]?.crop_url ?? null),
    h("div", {},
      h("h1", {}, nameOf(user), user.is_active ? null : h("span.tag", {}, "deactivated")),
      h("p", {}, marksOf(user)),
      h("p.fine", {}, seen),
      h("p.fine", {}, `Enrolled since ${dayOf(user.created_at)}`),
      details(user.metadata)),
    h("div.actions", {},
      h("a.button", { href: `#/people/${user.id}/photos` }, "Add photos"), merge, toggle, erase));
}

/** The application's own keys, as a list of terms. */
function details(metadata) {
  const entries = Object.entries(metadata);
  if (!entries.length) return null;
  return h("dl.measures", {}, entries.map(([key, value]) =>
    h("div", {}, h("dt", {}, key), h("dd", {}, String(value)))));
}

async function mergeInto(user, again, signal) {
  const who = await askWho(`Who is the same person as ${nameOf(user)}?`, { except: user.id });
  if (!who) return;
  await correct({ kind: "merge", user_id: user.id, other_user_id: who.user.id },
    `${who.name} is ${nameOf(user)} now`, again, signal);
}

async function eraseUser(user) {
  const isSure = await confirmDanger({
    title: `Delete ${nameOf(user)}?`,
    body: [
      "Photos, templates and pictures from cameras are erased; sightings stay as unknown.",
      "This cannot be undone.",
    ],
    action: "Delete",
  });
  if (!isSure) return;
  await call(`/users/${user.id}`, { method: "DELETE" });
  live.forget(user.id);
  notice(`${nameOf(user)} was deleted`);
  location.hash = "#/people";
}

function photos(user, faces, act, again, signal) {
  const few = "No one can be recognised without a photo.";
  const grid = h("ul.photo-grid", {}, faces.items.map((face, index) => {
    const label = `photo ${index + 1}`;
    const remove = h("button.quiet", { type: "button", "aria-label": `Delete ${label}` }, "Delete");
    remove.addEventListener("click", act(async () => {
      const isSure = await confirmDanger({
        title: "Delete this photo?",
        body: [faces.items.length === 1
          ? `It is the only one: ${nameOf(user)} will no longer be recognised.`
          : "The template is computed again from the other photos."],
        action: "Delete photo",
      });
      if (!isSure) return;
      await call(`/faces/${face.id}`, { method: "DELETE" });
      notice("The photo was deleted");
      await again();
    }));
    const out = actionButton("Take out", act, () => correct(
      { kind: "photo_out", user_id: user.id, face_id: face.id }, "The photo does not count any more", again, signal),
    { kind: "quiet", label: `Take out ${label}: it is kept and can be put back` });
    return h("li", {}, picture(face.crop_url, `Enrolled ${label}`),
      h("span.fine", {}, `quality ${face.quality.toFixed(2)}`), out, remove);
  }));
  const total = faces.next_cursor ? `newest ${PHOTOS}` : count(faces.items.length, "photo");
  return h("section", { "aria-labelledby": "photos-title" },
    h("div.bar-top", {}, h("h2", { id: "photos-title" }, "Photos"), h("p.fine", {}, total)),
    faces.items.length ? grid : emptyState("No photo is enrolled.", few));
}

function seen(user, act, again, signal, { items, next_cursor: more }) {
  const total = more ? `latest ${VISITS} visits` : items.length ? count(items.length, "visit") : "";
  return h("section", { "aria-labelledby": "seen-title" },
    h("div.bar-top", {}, h("h2", { id: "seen-title" }, "Seen"), h("p.fine", {}, total)),
    items.length
      ? visitRows(items, (visit) => actionButton("Not this person", act, () => correct(
        { kind: "not_user", user_id: user.id, visit_id: visit.visit_id },
        `The visit at ${visit.camera_id} is not ${nameOf(user)}’s any more`, again, signal),
      { kind: "quiet", label: `Not this person: the visit at ${visit.camera_id}` }))
      : emptyState(user.is_active ? "No camera has seen this person yet."
        : "A deactivated person is unknown to all cameras."));
}
