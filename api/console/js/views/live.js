/* Who is at which door now, and who has left, as the server announces it. */

import { fill, h, say } from "../dom.js";
import { live } from "../live.js";
import { emptyState } from "../parts.js";
import { exchange, picture } from "../pictures.js";
import { length, liveness, mark, note, score, times, who } from "../visitparts.js";
import { watchCameras } from "./cameras.js";

const SHOWN = 100;
const SPOKEN_EVERY = 4000;

const STATES = {
  connecting: "Connecting",
  open: "Live",
  lost: "Connection lost, reconnecting",
  refused: "Not allowed",
};

export function showLive({ root, signal }) {
  const feed = new Feed(signal);
  const cameras = h("section.cameras", { "aria-labelledby": "cameras-title" });
  fill(root, h("div.live", {}, feed.element, cameras));
  watchCameras(cameras, signal);
}

class Feed {
  #here = new Section("here", "Here now", "ul");
  #left = new Section("left", "Left", "ol");
  #only = "all";
  #isPaused = false;
  #missed = new Set();
  #toSpeak = [];
  #isDrawing = false;

  constructor(signal) {
    this.state = h("span.state", { role: "status" });
    this.reason = h("p.fine.reason");
    this.empty = h("div");
    this.spoken = h("p.hidden-text", { "aria-live": "polite" });
    this.pause = h("button.pause", { type: "button" }, "Pause");
    const top = h("div.bar-top", {},
      h("h1", { id: "visits-title" }, "Visits"), this.state,
      h("span.spring"), this.#filter(), this.pause);
    this.element = h("section.visits", { "aria-labelledby": "visits-title" },
      top, this.reason, this.spoken, this.empty, this.#here.element, this.#left.element);

    this.pause.addEventListener("click", () => this.#setPaused(!this.#isPaused));
    live.addEventListener("state", () => this.#showState(), { signal });
    live.addEventListener("history", () => this.#drawSoon(), { signal });
    live.addEventListener("visit", ({ detail }) => this.#take(detail), { signal });
    const speaking = setInterval(() => this.#speak(), SPOKEN_EVERY);
    signal.addEventListener("abort", () => clearInterval(speaking), { once: true });
    this.#showState();
    this.#draw();
  }

  #filter() {
    const select = h("select", { "aria-label": "People to show" },
      h("option", { value: "all" }, "All people"),
      h("option", { value: "known" }, "Known"),
      h("option", { value: "unknown" }, "Unknown"));
    select.addEventListener("change", () => {
      this.#only = select.value;
      this.#draw();
    });
    return select;
  }

  #wants(visit) {
    return this.#only === "all" || (visit.user_id === null) === (this.#only === "unknown");
  }

  #setPaused(isPaused) {
    this.#isPaused = isPaused;
    this.#missed.clear();
    if (!isPaused) this.#draw();
    this.#showState();
  }

  #take({ visit, before }) {
    if (this.#isPaused) {
      if (!before && this.#wants(visit)) this.#missed.add(visit.visit_id);
      this.#showState();
      return;
    }
    const change = this.#wants(visit) && spokenChange(visit, before);
    if (change) this.#toSpeak.push(change);
    this.#drawSoon();
  }

  /** At most once a frame, however many visits come. */
  #drawSoon() {
    if (this.#isDrawing || this.#isPaused) return;
    this.#isDrawing = true;
    requestAnimationFrame(() => {
      this.#isDrawing = false;
      if (!this.#isPaused) this.#draw();
    });
  }

  #draw() {
    const here = live.visits.open.filter((visit) => this.#wants(visit));
    const left = live.visits.left.filter((visit) => this.#wants(visit));
    // A visit that moves from one list to the other takes the focus along.
    const focused = document.activeElement?.closest?.(".visit")?.dataset.id;
    this.#here.draw(here);
    this.#left.draw(left.slice(0, SHOWN));
    if (focused && !document.activeElement?.closest(".visit")) {
      (this.#here.find(focused) ?? this.#left.find(focused))?.focus();
    }
    this.#showEmpty(here.length + left.length === 0);
  }

  #showEmpty(isEmpty) {
    this.#here.element.hidden = isEmpty;
    this.#left.element.hidden = isEmpty;
    if (!isEmpty || !live.loaded) fill(this.empty);
    else if (live.visits.size) fill(this.empty, emptyState("No recent visits of this kind."));
    else {
      const when = "People appear here as cameras see them.";
      fill(this.empty, emptyState("No one has been seen yet.", when));
    }
  }

  #showState() {
    const isPaused = this.#isPaused;
    this.state.dataset.state = isPaused ? "paused" : live.state;
    const paused = this.#missed.size ? `Paused, ${this.#missed.size} new` : "Paused";
    say(this.state, isPaused ? paused : STATES[live.state]);
    say(this.pause, isPaused ? "Resume" : "Pause");
    say(this.reason, live.reason);
    this.reason.hidden = !live.reason;
  }

  /** Announce who came and left to screen readers, at most every few seconds. */
  #speak() {
    if (!this.#toSpeak.length) return;
    const different = [...new Set(this.#toSpeak.splice(0))];
    const first = different.slice(0, 3).join("; ");
    say(this.spoken, different.length > 3 ? `${first}; and ${different.length - 3} more` : first);
  }
}

/** What a listener should hear of an announcement; empty for a better picture, for example. */
function spokenChange(visit, before) {
  if (visit.state === "open") {
    const status = visit.liveness?.status;
    const isSuspected = status === "spoof" && status !== before?.liveness?.status;
    const isNews = before?.state !== "open" || before.user_id !== visit.user_id || isSuspected;
    return isNews ? `${who(visit)} at ${visit.camera_id}${isSuspected ? ", picture suspected" : ""}` : "";
  }
  return visit.reason === "merged" || before?.state === "ended" ? "" : `${who(visit)} left ${visit.camera_id}`;
}

/** A list of visits; rows that stay are updated in place, so that nothing moves. */
class Section {
  #rows = new Map();
  #isComplete = false;

  constructor(name, title, tag) {
    this.number = h("span.tag");
    this.list = h(`${tag}.${name}`, { "aria-labelledby": `${name}-title` });
    this.nothing = h("p.fine", {}, name === "here" ? "No one is at a camera now." : "No one has left.");
    this.element = h(`section.${name}-part`, { "aria-labelledby": `${name}-title` },
      h("div.part-top", {}, h("h2", { id: `${name}-title` }, title), this.number),
      this.nothing, this.list);
  }

  draw(visits) {
    const ids = new Set(visits.map((visit) => visit.visit_id));
    // First of all, so that no row that stays has to move: it would lose the focus.
    for (const [id, row] of this.#rows) {
      if (ids.has(id)) continue;
      row.element.remove();
      this.#rows.delete(id);
    }
    for (const [place, visit] of visits.entries()) {
      const row = this.#rows.get(visit.visit_id) ?? this.#add(visit);
      row.update(visit);
      if (this.list.children[place] !== row.element) {
        this.list.insertBefore(row.element, this.list.children[place] ?? null);
      }
    }
    this.#isComplete = live.loaded;
    say(this.number, String(visits.length));
    this.nothing.hidden = visits.length > 0;
    this.list.hidden = visits.length === 0;
  }

  #add(visit) {
    const row = new Row(visit);
    // What was there at the beginning is not new.
    row.element.classList.toggle("fresh", this.#isComplete);
    this.#rows.set(visit.visit_id, row);
    return row;
  }

  find(visitId) {
    return this.#rows.get(visitId)?.link;
  }
}

/** One visit in a list. */
class Row {
  #shown;

  constructor(visit) {
    this.#shown = visit.crop_url;
    this.picture = picture(visit.crop_url);
    this.link = h("a.name", { href: `#/visits/${visit.visit_id}` });
    this.note = h("span.note");
    this.mark = h("span");
    this.score = h("span");
    this.when = h("span.when");
    this.liveness = h("span.liveness");
    this.element = h("li.visit", { "data-id": visit.visit_id },
      h("span.face", {}, this.picture, this.mark),
      h("span.who", {}, this.link, h("span.camera", {}, visit.camera_id), this.liveness, this.note),
      this.score, this.when);
  }

  update(visit) {
    say(this.note, note(visit)); // it grows with time
    if (visit === this.visit) return;
    this.visit = visit;
    this.element.dataset.known = visit.user_id !== null;
    say(this.link, who(visit));
    const [sign, points] = [mark(visit), score(visit) ?? h("span.score")];
    const presence = liveness(visit) ?? h("span.liveness");
    this.mark.replaceWith(sign);
    this.score.replaceWith(points);
    this.liveness.replaceWith(presence);
    [this.mark, this.score, this.liveness] = [sign, points, presence];
    fill(this.when, times(visit), length(visit));
    if (visit.crop_url !== this.#shown) {
      this.#shown = visit.crop_url;
      exchange(this.picture, visit.crop_url);
    }
  }
}
