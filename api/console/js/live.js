/* What is known of the present moment, kept while the operator looks at other views. */

import { call, isAbort, pause } from "./api.js";
import { follow } from "./stream.js";
import { VisitList } from "./visitlist.js";

const HISTORY = 100;
/** Faces and erasure are not announced: how fresh open visits are, and whose, is asked for. */
const ASK_EVERY = 10_000;
/** Of so many questions, one is for all visits. */
const ALL_EVERY = 6;

/**
 * Events: "state" when the connection changes, "visit" (detail: what `VisitList.take` gives) when
 * a visit was announced, and "history" when any of them may have changed.
 */
class Live extends EventTarget {
  visits = new VisitList();
  state = "connecting";
  reason = "";
  /** Whether the recent past has been fetched: before that, an empty list means nothing. */
  loaded = false;
  #stop = null;

  start() {
    this.stop();
    this.#stop = new AbortController();
    const { signal } = this.#stop;
    follow(
      {
        state: (name, reason = "") => this.#turn(name, reason),
        // A stream that goes on sends what was missed, or a gap.
        open: (isResumed) => isResumed && this.loaded || this.#catchUp(signal),
        visit: (visit) => this.#take(visit),
        gap: () => this.#catchUp(signal),
      },
      signal,
    );
    this.#keepAsking(signal);
  }

  stop() {
    this.#stop?.abort();
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

  #take(visit) {
    const taken = this.visits.take(visit);
    if (taken) this.dispatchEvent(new CustomEvent("visit", { detail: taken }));
  }

  /** Fetch who left before, or while there was no connection, and who is there. */
  async #catchUp(signal) {
    try {
      const page = await call(`/visits?open=false&limit=${HISTORY}`, { signal });
      for (const visit of page.items) this.visits.take(visit, true);
      await this.#ask(signal);
      this.loaded = true;
      this.reason = "";
    } catch (error) {
      if (isAbort(error)) return;
      this.reason = error.message;
      this.dispatchEvent(new Event("state"));
    }
    this.dispatchEvent(new Event("history"));
  }

  async #ask(signal) {
    const since = this.visits.changes;
    const { items, total } = await call("/presence", { signal });
    this.visits.settle(items, items.length === total, since);
    this.dispatchEvent(new Event("history"));
  }

  async #keepAsking(signal) {
    for (let asked = 1; !signal.aborted; asked += 1) {
      try {
        await pause(ASK_EVERY, signal);
        if (this.state !== "open" || document.hidden) continue;
        if (this.loaded && asked % ALL_EVERY) await this.#ask(signal);
        else await this.#catchUp(signal);
      } catch {
        // The next answer is as good; the header shows a server that is down.
      }
    }
  }
}

export const live = new Live();
