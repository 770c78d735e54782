/* One person: photos, where last seen, and the way out. */

import { call, callWith, isAbort } from "../api.js";
import { confirmDanger, notice } from "../dialogs.js";
import { fill, h } from "../dom.js";
import { count, dayOf, nameOf } from "../format.js";
import { live } from "../live.js";
import { emptyState, problemBox, similarityBar, timeElement } from "../parts.js";
import { picture } from "../pictures.js";
import { Visits } from "../visits.js";

const PHOTOS = 60;
const SIGHTINGS = 100;

export async function showPerson(view) {
  const { root, signal, params } = view;
  const [id] = params;
  const [user, faces, seen] = await Promise.all([
    call(`/users/${id}`, { signal }),
    call(`/users/${id}/faces?limit=${PHOTOS}`, { signal }),
    call(`/matches?user_id=${id}&limit=${SIGHTINGS}`, { signal }),
  ]);
  document.title = `${nameOf(user)} · Fecapass`;
  const errors = h("div");
  const again = async () => {
    await showPerson(view);
    root.focus({ preventScroll: true }); // the button that had the focus is another one now
  };
  let isBusy = false;

  /** Run the action of a button; report why it failed. */
  const act = (work) => async () => {
    if (isBusy) return; // not disabled: a dialog gives the focus back to its button
    isBusy = true;
    fill(errors);
    try {
      await work();
    } catch (error) {
      if (!isAbort(error)) fill(errors, problemBox(error));
    } finally {
      isBusy = false;
    }
  };

  fill(root,
    h("p.crumb", {}, h("a", { href: "#/people" }, "People")),
    head(user, faces.items, act, again),
    errors,
    photos(user, faces, act, again),
    sightings(user, seen.items));
}

function head(user, faces, act, again) {
  const toggle = h("button", { type: "button" }, user.is_active ? "Deactivate" : "Activate");
  toggle.addEventListener("click", act(async () => {
    await callWith("PATCH", `/users/${user.id}`, { is_active: !user.is_active });
    notice(user.is_active ? `${nameOf(user)} is no longer recognised` : `${nameOf(user)} is recognised again`);
    await again();
  }));
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
      h("p", {}, user.full_name ? user.email : ""),
      h("p.fine", {}, seen),
      h("p.fine", {}, `Enrolled since ${dayOf(user.created_at)}`)),
    h("div.actions", {},
      h("a.button", { href: `#/people/${user.id}/photos` }, "Add photos"), toggle, erase));
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

function photos(user, faces, act, again) {
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
    return h("li", {}, picture(face.crop_url, `Enrolled ${label}`),
      h("span.fine", {}, `quality ${face.quality.toFixed(2)}`), remove);
  }));
  const total = faces.next_cursor ? `newest ${PHOTOS}` : count(faces.items.length, "photo");
  return h("section", { "aria-labelledby": "photos-title" },
    h("div.bar-top", {}, h("h2", { id: "photos-title" }, "Photos"), h("p.fine", {}, total)),
    faces.items.length ? grid : emptyState("No photo is enrolled.", few));
}

function sightings(user, seen) {
  const visits = new Visits();
  for (const match of [...seen].reverse()) visits.add(match);
  return h("section", { "aria-labelledby": "seen-title" },
    h("div.bar-top", {}, h("h2", { id: "seen-title" }, "Seen"),
      h("p.fine", {}, seen.length === SIGHTINGS ? `in the latest ${SIGHTINGS} frames` : "")),
    visits.list.length
      ? h("ol.seen", {}, visits.list.map(({ first, best, count: frames }) => h("li", {},
        picture(best.crop_url),
        h("span.who", {}, h("span", {}, first.camera_id),
          h("span.camera", {}, count(frames, "frame"))),
        similarityBar(best.similarity),
        timeElement(first.seen_at))))
      : emptyState(user.is_active ? "No camera has seen this person yet."
        : "A deactivated person is unknown to all cameras."));
}
