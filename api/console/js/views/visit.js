/* One visit: who, when, how sure, and all its faces. */

import { actionButton, oneAtATime } from "../actions.js";
import { call, isAbort } from "../api.js";
import { correct } from "../corrections.js";
import { fill, h } from "../dom.js";
import { count, moment, nameOf, similarity } from "../format.js";
import { live } from "../live.js";
import { emptyState, problemBox } from "../parts.js";
import { picture } from "../pictures.js";
import { askWho, withNewPerson } from "../whois.js";
import { length, liveness, mark, note, score, times, who } from "../visitparts.js";

const FACES = 60;

export async function showVisit({ root, signal, params }) {
  const [id] = params;
  const { matches, next_cursor: more, ...stored } = await call(`/visits/${id}?limit=${FACES}`, { signal });
  const [head, errors] = [h("div.visit-head"), h("div")];
  const act = oneAtATime(errors);
  const faces = new Faces(id, signal);
  let visit = stored;

  async function draw() {
    const { user_id: user } = visit;
    const enrolled = await enrolledPhoto(user, signal);
    if (user !== visit.user_id) return; // another answer is on its way
    document.title = `${who(visit)} at ${visit.camera_id} · Fecapass`;
    fill(head, pictures(visit, enrolled), h("div", {}, facts(visit, matches), corrections(visit, act, again, signal)),
      snapshot(visit));
  }

  /** After a correction, what is stored counts. */
  async function again() {
    const { matches: _matches, next_cursor: _more, ...now } = await call(`/visits/${id}?limit=1`, { signal });
    visit = now;
    await draw();
  }

  /** What is announced of this visit counts here, too. */
  function follow() {
    const newest = live.visits.find(id);
    const isOther = newest && (newest.revision > visit.revision || newest.user_id !== visit.user_id);
    if (!isOther || newest.revision < visit.revision) return;
    visit = newest;
    draw().catch((error) => isAbort(error) || console.error(error));
  }

  await draw();
  fill(root, h("p.crumb", {}, h("a", { href: "#/" }, "Live")), head, errors, faces.element);
  faces.add(matches, more);
  live.addEventListener("visit", follow, { signal });
  live.addEventListener("history", follow, { signal });
  follow();
}

/** An enrolled photo of the person to compare with; null if there is none. */
async function enrolledPhoto(userId, signal) {
  if (userId === null) return null;
  try {
    const { items } = await call(`/users/${userId}/faces?limit=1`, { signal });
    return items[0]?.crop_url ?? null;
  } catch (error) {
    if (isAbort(error)) throw error;
    return null; // the visit is worth seeing without it
  }
}

function pictures(visit, enrolled) {
  const best = h("figure", {}, picture(visit.crop_url, `Best face of the visit: ${who(visit)}`),
    h("figcaption", {}, "At the camera"));
  if (!enrolled) return h("div.compare", {}, best);
  return h("div.compare", {}, best,
    h("figure", {}, picture(enrolled, `Enrolled photo of ${who(visit)}`), h("figcaption", {}, "Enrolled")));
}

/** Who it is not, and who it is instead. */
function corrections(visit, act, again, signal) {
  const named = { visit_id: visit.visit_id };
  const isNot = actionButton(`Not ${who(visit)}`, act, () => correct(
    { kind: "not_user", user_id: visit.user_id, ...named },
    `This visit is not ${who(visit)}’s any more`, again, signal));
  const is = actionButton(visit.user_id ? "Someone else" : "Give a name", act, async () => {
    const answer = await askWho("Who is this?", {
      canBeNew: true, except: visit.user_id, extra: "Also enrol the best picture as a photo",
    });
    if (!answer) return;
    const use = (user) => correct({ kind: "is_user", user_id: user.id, enrol: answer.ticked, ...named },
      `This visit is ${answer.name}’s now`, again, signal);
    if (answer.user) await use(answer.user);
    else await withNewPerson(visit.visit_id, answer.name, use, signal);
  });
  return h("div.actions.correct", {}, visit.user_id ? isNot : null, is);
}

/** The whole frame of the best face, where it is kept; it shows all people who were in it. */
function snapshot({ snapshot_url: url, camera_id: camera }) {
  if (!url) return null;
  const frame = picture(url, `The whole picture of camera ${camera}`);
  frame.classList.add("whole");
  return h("figure.snapshot", {}, frame, h("figcaption", {}, "The whole picture"));
}

/** Of an unknown person, the face most like someone who is enrolled; a key may hide all candidates. */
function mostLike(visit, matches) {
  if (visit.user_id) return null;
  const [best] = matches.filter((match) => match.candidate).sort((one, other) => other.similarity - one.similarity);
  if (!best) return null;
  return [h("a", { href: `#/people/${best.candidate.id}` }, nameOf(best.candidate)), ` (${similarity(best.similarity)})`];
}

function facts(visit, matches) {
  const name = visit.user ? h("a", { href: `#/people/${visit.user_id}` }, who(visit)) : who(visit);
  const entries = [
    ["Camera", visit.camera_id],
    [visit.state === "open" ? "Here" : "Was here", times(visit)],
    ["For", length(visit)],
    ["Faces", visit.late ? `${visit.faces}, ${visit.late} of them late` : String(visit.faces)],
    ["Similarity", score(visit)?.querySelector(".number")],
    ["Most like", mostLike(visit, matches)],
    ["Liveness", liveness(visit)],
    ["Note", note(visit)],
    ["Came before", visit.unknown_id && !visit.user_id
      ? h("a", { href: `#/unknowns/${visit.unknown_id}` }, "the visits of this unknown person") : null],
    ["Where else", visit.best_face_id
      ? h("a", { href: `#/faces/${visit.best_face_id}/similar` }, "faces like this one") : null],
    ["Before", visit.continues ? h("a", { href: `#/visits/${visit.continues}` }, "the visit that this one continues") : null],
  ];
  return h("div.facts", {},
    h("h1", {}, mark(visit), " ", name, " ", h("span.tag", {}, visit.state === "open" ? "here now" : "left")),
    h("dl", {}, entries.filter(([, value]) => value).map(([term, value]) =>
      h("div", {}, h("dt", {}, term), h("dd", {}, value)))));
}

/** The pictures of a visit, newest first; of a face that was followed, the same picture is not repeated. */
class Faces {
  #seen = 0;

  constructor(id, signal) {
    this.id = id;
    this.signal = signal;
    this.total = h("p.fine");
    this.grid = h("ol.faces-grid", { "aria-labelledby": "faces-title" });
    this.below = h("div.below");
    this.element = h("section.visit-faces", { "aria-labelledby": "faces-title" },
      h("div.bar-top", {}, h("h2", { id: "faces-title" }, "Faces"), this.total), this.grid, this.below);
  }

  add(matches, cursor) {
    this.#seen += matches.length;
    this.grid.append(...matches.filter((match) => match.fresh).map((match) => h("li", {},
      picture(match.crop_url, `At ${moment(match.seen_at)}`),
      h("span.fine", {}, moment(match.seen_at)))));
    const shown = this.grid.children.length;
    this.grid.hidden = shown === 0;
    fill(this.total, shown === this.#seen ? (cursor ? `newest ${shown}` : "")
      : `${count(shown, "picture")} of ${cursor ? "the newest " : ""}${count(this.#seen, "face")}`);
    fill(this.below, cursor ? this.#button(cursor) : shown ? null : emptyState("No faces are kept of this visit."));
  }

  #button(cursor) {
    const button = h("button", { type: "button" }, "Show more");
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        const page = await call(`/visits/${this.id}?limit=${FACES}&cursor=${encodeURIComponent(cursor)}`,
          { signal: this.signal });
        this.add(page.matches, page.next_cursor);
      } catch (error) {
        if (!isAbort(error)) fill(this.below, problemBox(error, () => fill(this.below, this.#button(cursor))));
      }
    });
    return button;
  }
}
