/* Who is at which door, as it happens. */

import { fill, h, say } from "../dom.js";
import { count, exactly, moment, nameOf, similarity } from "../format.js";
import { live } from "../live.js";
import { emptyState, similarityBar } from "../parts.js";
import { exchange, picture } from "../pictures.js";
import { watchCameras } from "./cameras.js";

const SHOWN = 100;
/** A better crop of an ongoing visit is fetched only when it is clearly better. */
const BETTER = 0.05;
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
  #rows = new Map();
  #only = "all";
  #isPaused = false;
  #missed = 0;
  #toSpeak = [];

  constructor(signal) {
    this.state = h("span.state", { role: "status" });
    this.reason = h("p.fine.reason");
    this.list = h("ol.feed", { "aria-label": "Matches, newest first" });
    this.empty = h("div");
    this.spoken = h("p.hidden-text", { "aria-live": "polite" });
    this.pause = h("button.pause", { type: "button" }, "Pause");
    const top = h("div.bar-top", {},
      h("h1", { id: "matches-title" }, "Matches"), this.state,
      h("span.spring"), this.#filter(), this.pause);
    this.element = h("section.matches", { "aria-labelledby": "matches-title" },
      top, this.reason, this.spoken, this.empty, this.list);

    this.pause.addEventListener("click", () => this.#setPaused(!this.#isPaused));
    live.addEventListener("state", () => this.#showState(), { signal });
    live.addEventListener("history", () => this.#isPaused || this.#draw(), { signal });
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
    return this.#only === "all" || (visit.last.user_id === null) === (this.#only === "unknown");
  }

  #setPaused(isPaused) {
    this.#isPaused = isPaused;
    this.#missed = 0;
    if (!isPaused) this.#draw();
    this.#showState();
  }

  #take({ visit, isNew, at }) {
    if (this.#isPaused) {
      if (isNew && this.#wants(visit)) this.#missed += 1;
      this.#showState();
      return;
    }
    if (!this.#wants(visit)) return;
    if (!isNew) {
      this.#rows.get(visit)?.update();
      return;
    }
    const row = new Row(visit);
    const older = live.visits.list.slice(at + 1).find((one) => this.#rows.has(one));
    this.list.insertBefore(row.element, this.#rows.get(older)?.element ?? null);
    this.#rows.set(visit, row);
    row.element.classList.add("fresh");
    this.#toSpeak.push(visit.last);
    this.#trim();
    this.#showEmpty();
  }

  #draw() {
    const visits = live.visits.list.filter((visit) => this.#wants(visit)).slice(0, SHOWN);
    this.#rows = new Map(visits.map((visit) => [visit, this.#rows.get(visit) ?? new Row(visit)]));
    for (const row of this.#rows.values()) row.update();
    fill(this.list, [...this.#rows.values()].map((row) => row.element));
    this.#showEmpty();
  }

  #trim() {
    if (this.#rows.size <= SHOWN) return;
    const last = this.list.lastElementChild;
    const [oldest] = [...this.#rows].find(([, row]) => row.element === last);
    this.#rows.delete(oldest);
    last.remove();
  }

  #showEmpty() {
    const isEmpty = this.#rows.size === 0;
    this.list.hidden = isEmpty;
    if (!isEmpty || !live.loaded) fill(this.empty);
    else if (live.visits.list.length) fill(this.empty, emptyState("No recent matches of this kind."));
    else {
      const when = "People appear here as cameras see them.";
      fill(this.empty, emptyState("No one has been seen yet.", when));
    }
  }

  #showState() {
    const isPaused = this.#isPaused;
    this.state.dataset.state = isPaused ? "paused" : live.state;
    const paused = this.#missed ? `Paused, ${this.#missed} new` : "Paused";
    say(this.state, isPaused ? paused : STATES[live.state]);
    say(this.pause, isPaused ? "Resume" : "Pause");
    say(this.reason, live.reason);
    this.reason.hidden = !live.reason;
  }

  /** Announce matches to screen readers, at most every few seconds. */
  #speak() {
    if (!this.#toSpeak.length) return;
    const announced = this.#toSpeak.splice(0).map((match) => `${who(match)} at ${match.camera_id}`);
    const different = [...new Set(announced)];
    const first = different.slice(0, 3).join("; ");
    say(this.spoken, different.length > 3 ? `${first}; and ${different.length - 3} more` : first);
  }
}

function who(match) {
  if (match.user) return nameOf(match.user);
  return match.user_id ? "Known, name not available" : "Unknown";
}

/** One visit in the feed; updated in place, so that nothing moves. */
class Row {
  #shown;

  constructor(visit) {
    const { first, best } = visit;
    const isKnown = first.user_id !== null;
    this.visit = visit;
    this.#shown = best;
    this.picture = picture(best.crop_url);
    this.name = isKnown ? h("a.name", { href: `#/people/${first.user_id}` }) : h("span.name");
    this.bar = h("span");
    this.time = h("time");
    this.frames = h("span.frames");
    this.element = h("li.visit", { "data-known": isKnown },
      this.picture,
      h("span.who", {}, this.name, h("span.camera", {}, first.camera_id)),
      this.bar,
      h("span.when", {}, this.time, this.frames));
    this.update();
  }

  update() {
    const { first, last, best, count: frames } = this.visit;
    say(this.name, who(last));
    const bar = similarityBar(last.similarity);
    bar.title = `similarity ${similarity(last.similarity)}, runner-up ` +
      `${similarity(last.runner_up_similarity)}, quality ${last.quality.toFixed(2)}`;
    this.bar.replaceWith(bar);
    this.bar = bar;
    this.time.dateTime = first.seen_at;
    this.time.title = `${exactly(first.seen_at)}, last seen ${moment(last.seen_at)}`;
    say(this.time, moment(first.seen_at));
    say(this.frames, frames > 1 ? count(frames, "frame") : "");
    if (best.crop_url && best.quality > this.#shown.quality + BETTER) {
      this.#shown = best;
      exchange(this.picture, best.crop_url);
    }
  }
}
