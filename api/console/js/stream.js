/* The live visits: one connection, made again whenever it breaks. */

import { isAbort, pause, Problem, request } from "./api.js";
import { EventParser } from "./sse.js";

const FIRST_WAIT = 1000;
const LONGEST_WAIT = 15_000;
/* Heartbeats come every 15 seconds by default; a setting may stretch them. */
const LONGEST_SILENCE = 60_000;

/**
 * Follow the stream until the signal aborts.
 *
 * @param {object} hear what to call: `state(name, reason)` with "connecting", "open", "lost" or
 *   "refused"; `open(isResumed)` on every new connection; `visit(object)`; `gap()`
 * @param {AbortSignal} signal
 */
export async function follow(hear, signal) {
  let lastId = "";
  let wait = FIRST_WAIT;
  hear.state("connecting");
  while (!signal.aborted) {
    const began = Date.now();
    let reason = "";
    try {
      const take = (event) => {
        if (event.id) lastId = event.id;
        if (event.type === "visit") hear.visit(JSON.parse(event.data));
        else if (event.type === "gap") hear.gap();
      };
      await readOnce(lastId, take, hear, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Problem && [401, 403].includes(error.status)) {
        hear.state("refused", error.message);
        return;
      }
      if (error instanceof Problem) reason = error.message;
    }
    if (Date.now() - began > LONGEST_WAIT) wait = FIRST_WAIT;
    hear.state("lost", reason);
    try {
      await Promise.race([pause(wait * (0.75 + Math.random() / 2), signal), online(signal)]);
    } catch (error) {
      if (isAbort(error)) return;
      throw error;
    }
    wait = Math.min(wait * 2, LONGEST_WAIT);
  }
}

async function readOnce(lastId, take, hear, signal) {
  const silence = new AbortController();
  const either = AbortSignal.any([signal, silence.signal]);
  let timer = setTimeout(() => silence.abort(), LONGEST_SILENCE);
  try {
    const headers = { Accept: "text/event-stream" };
    if (lastId) headers["Last-Event-ID"] = lastId;
    const response = await request("/visits/stream", { headers, signal: either });
    hear.state("open");
    hear.open(Boolean(lastId));
    const parser = new EventParser();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), LONGEST_SILENCE);
      for (const event of parser.feed(value)) take(event);
    }
  } finally {
    clearTimeout(timer);
  }
}

/** Resolves when the browser says that it is online again. */
function online(signal) {
  return new Promise((resolve) => {
    window.addEventListener("online", resolve, { once: true, signal });
  });
}
