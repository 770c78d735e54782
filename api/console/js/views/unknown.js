/* One unknown person: faces, visits, and a name. */

import { oneAtATime } from "../actions.js";
import { call } from "../api.js";
import { fill, h } from "../dom.js";
import { count } from "../format.js";
import { emptyState, timeElement } from "../parts.js";
import { picture } from "../pictures.js";
import { unknownActions } from "../unknowns.js";
import { visitRows } from "../visitparts.js";

const VISITS = 50;
const STATES = { dismissed: "put aside", promoted: "has a name" };

export async function showUnknown({ root, signal, params }) {
  const [id] = params;
  const unknown = await call(`/unknowns/${id}`, { signal }); // one that was merged leads to another
  const visits = await call(`/visits?unknown_id=${unknown.unknown_id}&limit=${VISITS}`, { signal });
  const errors = h("div");
  const again = () => showUnknown({ root, signal, params });
  const done = async (answer) => {
    location.hash = answer ? `#/people/${answer.user_id}` : "#/unknowns";
  };
  const actions = unknown.state === "promoted"
    ? h("div.actions", {}, h("a.button", { href: `#/people/${unknown.user_id}` }, "Show the person"))
    : unknownActions(unknown, oneAtATime(errors), done, again, signal);
  fill(root,
    h("p.crumb", {}, h("a", { href: "#/unknowns" }, "Unknown people")),
    h("div.person-head", {},
      picture(unknown.crop_url, "Best face"),
      h("div", {},
        h("h1", {}, "Unknown person", STATES[unknown.state] ? h("span.tag", {}, STATES[unknown.state]) : null),
        h("p", {}, unknown.cameras.length ? ["Seen at ", h("strong", {}, unknown.cameras.join(", "))] : null),
        h("p.fine", {}, "First seen ", timeElement(unknown.first_seen_at)),
        h("p.fine", {}, "Last seen ", timeElement(unknown.last_seen_at, { isRelative: true }))),
      h("div", {}, actions, unknown.best_face_id
        ? h("a.button", { href: `#/faces/${unknown.best_face_id}/similar` }, "Where else") : null)),
    errors,
    faces(unknown),
    seen(visits, unknown.visits));
}

function faces({ faces: found }) {
  const shown = found.filter((face) => face.crop_url);
  return h("section", { "aria-labelledby": "faces-title" },
    h("div.bar-top", {}, h("h2", { id: "faces-title" }, "Faces"), h("p.fine", {}, "the best of each visit")),
    shown.length
      ? h("ul.faces-grid", {}, shown.map((face) => h("li", {},
        picture(face.crop_url, "Face of the unknown person"), h("span.fine", {}, timeElement(face.seen_at)))))
      : emptyState("No faces are kept of this person."));
}

function seen({ items, next_cursor: more }, total) {
  return h("section", { "aria-labelledby": "seen-title" },
    h("div.bar-top", {}, h("h2", { id: "seen-title" }, "Seen"),
      h("p.fine", {}, more ? `latest ${items.length} of ${count(total, "visit")}` : count(items.length, "visit"))),
    items.length ? visitRows(items) : emptyState("No visits are kept of this person."));
}
