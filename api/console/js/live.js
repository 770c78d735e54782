/* What is known of the present moment, kept while the operator looks at other views. */

import { call, isAbort } from "./api.js";
import { follow } from "./stream.js";
import { Visits } from "./visits.js";

const HISTORY = 200;

/**
 * Events: "state" when the connection changes, "visit" (detail: what `Visits.add` gives) and
 * "history" when the whole list is to be drawn again.
 */
class Live extends EventTarget {
  visits = new Visits();
  state = "connecting";
  reason = "";
  /** Whether the recent past has been fetched: before that, an empty list means nothing. */
  loaded = false;
  #stop = null;
  #waiting = null;

  start() {
    this.stop();
    this.#stop = new AbortController();
    const { signal } = this.#stop;
    follow(
      {
        state: (name, reason = "") => this.#turn(name, reason),
        open: () => this.#catchUp(signal),
        match: (match) => this.#take(match),
        gap: () => this.#catchUp(signal),
      },
      signal,
    );
  }

  stop() {
    this.#stop?.abort();
    this.#waiting = null;
  }

  forget(userId) {
    this.visits.forget(userId);
    this.dispatchEvent(new Event("history"));
  }

  #turn(name, reason) {
    this.state = name;
    this.reason = reason;
    this.dispatchEvent(new Event("state"));
  }

  #take(match) {
    if (this.#waiting) {
      this.#waiting.push(match);
      return;
    }
    const added = this.visits.add(match);
    if (added) this.dispatchEvent(new CustomEvent("visit", { detail: added }));
  }

  /** Fetch what happened before, or while there was no connection; live matches wait for it. */
  async #catchUp(signal) {
    if (this.#waiting) return;
    this.#waiting = [];
    try {
      const page = await call(`/matches?limit=${HISTORY}`, { signal });
      for (const match of page.items.reverse()) this.visits.add(match);
      this.loaded = true;
    } catch (error) {
      if (isAbort(error)) return;
      this.reason = error.message;
    }
    const waiting = this.#waiting ?? [];
    this.#waiting = null;
    for (const match of waiting) this.visits.add(match);
    this.dispatchEvent(new Event("history"));
  }
}

export const live = new Live();
