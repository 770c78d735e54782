/* Where else a face was seen: the sightings most like it, of whomever they are. */

import { call } from "../api.js";
import { fill, h, uniqueId } from "../dom.js";
import { count, nameOf } from "../format.js";
import { emptyState, similarityBar, timeElement } from "../parts.js";
import { picture } from "../pictures.js";

const MOST = 60;
const DAY = 86_400_000;
const TIMES = [[1, "the last day"], [7, "the last week"], [30, "the last month"]];
const USUAL = 7;

export async function showSimilar({ root, signal, params }) {
  const [id, asked] = params;
  const days = Number(asked ?? USUAL);
  const since = new Date(Date.now() - days * DAY).toISOString();
  const query = new URLSearchParams({ since, limit: MOST });
  const { items } = await call(`/faces/${id}/similar?${query}`, { signal });
  fill(root,
    h("div.person-head", {},
      picture(`/faces/${id}/crop`, "The face that is looked for"),
      h("div", {}, h("h1", {}, "Where else"),
        h("p.fine", {}, items.length === MOST ? `The ${MOST} faces most like this one`
          : `${count(items.length, "face")}, the most similar first`)),
      timeChoice(id, days)),
    items.length ? h("ol.similar", {}, items.map(line))
      : emptyState("No camera has seen a face like this one.", "Choose a longer time to look further back."));
}

/** The time is part of the address, so that "back" and a reload keep it. */
function timeChoice(face, days) {
  const id = uniqueId("time");
  const select = h("select", { id }, TIMES.map(([value, text]) =>
    h("option", { value, selected: value === days }, text)));
  select.addEventListener("change", () => {
    location.hash = `#/faces/${face}/similar/${select.value}`;
  });
  return h("div.field.inline", {}, h("label", { for: id }, "Seen in"), select);
}

function line({ similarity, match }) {
  const who = match.user ? h("a", { href: `#/people/${match.user_id}` }, nameOf(match.user)) : "Unknown";
  return h("li", { "data-known": String(match.user_id !== null) },
    picture(match.crop_url),
    h("div", {},
      h("p.who-line", {}, who),
      h("p", {}, "at ", h("strong", {}, match.camera_id)),
      h("p.fine", {}, timeElement(match.seen_at)),
      similarityBar(similarity)));
}
