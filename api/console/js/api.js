/* Calls to the HTTP API: keys, problem documents, and waiting where the server asks for it. */

import { noteServerTime } from "./format.js";

/** The path of the service: "/", or the path below which a proxy serves it. */
const ROOT = new URL("../../", import.meta.url).pathname;
const BASE = `${ROOT}api/v1`;
const HEALTH = `${ROOT}health`;
/** Another service below another path of the same host has a key of its own. */
const STORED_KEY = ROOT === "/" ? "fecapass-api-key" : `fecapass-api-key:${ROOT}`;
const LONGEST_POLL = 120_000;
/** Refusals that say nothing about the photo: it waits and goes out again. */
const CROWDED = new Set(["too_many_requests", "too_busy"]);

/** A request that the server did not grant: a problem document (RFC 9457). */
export class Problem extends Error {
  constructor(status, document, retryAfter) {
    super(document.detail || document.title || `the server answered ${status}`);
    this.status = status;
    this.code = document.code || "";
    this.requestId = document.request_id || "";
    this.fields = document.errors || [];
    /** What is wrong, without the name of the field where there is only one. */
    this.plain = this.fields.length === 1 ? this.fields[0].message : this.message;
    this.measures = document.measures || {};
    /** Of an enrolment: what became of each photo. */
    this.uploads = document.uploads || [];
    /** Seconds after which another attempt makes sense; null when the server named none. */
    this.retryAfter = retryAfter;
  }
}

/** The server could not be reached, or the connection broke. */
export class Unreachable extends Error {
  constructor() {
    super("The server does not answer.");
  }
}

/** Says "lost" whenever any request found no server. */
export const contact = new EventTarget();

let askForKey = null;
let asking = null;

/** Say how a key is asked for: an async function that takes the reason and gives a key or null. */
export function onKeyNeeded(ask) {
  askForKey = ask;
}

export function storedKey() {
  return sessionStorage.getItem(STORED_KEY);
}

export function forgetKey() {
  sessionStorage.removeItem(STORED_KEY);
}

/**
 * Send a request and give its response, whatever follows a missing key included.
 *
 * @param {string} path below /api/v1, or an address that the server gave
 * @throws {Problem|Unreachable|DOMException} the last when the signal aborted it
 */
export async function request(path, options = {}) {
  const url = addressOf(path);
  for (;;) {
    const key = storedKey();
    const headers = { ...options.headers };
    if (key) headers["X-API-Key"] = key;
    const response = await send(url, { ...options, headers });
    if (response.ok) return response;
    const problem = await problemOf(response);
    if (response.status !== 401 || !(await keyFor(problem, key))) throw problem;
  }
}

/** The address of a path, for any prefix of the server: this page was found below the right one. */
function addressOf(path) {
  return BASE + path.replace(/^[^?]*?\/api\/v1(?=\/)/, "");
}

/** A response's JSON; null when it has none. */
export async function call(path, options = {}) {
  const response = await request(path, options);
  return response.status === 204 ? null : response.json();
}

/** The same, with a JSON body. */
export function callWith(method, path, body, signal) {
  return call(path, {
    method,
    signal,
    body: JSON.stringify(body),
    headers: { "Content-Type": "application/json" },
  });
}

/** Post a form; where the pipeline has not answered in time, poll until it has. */
export async function upload(path, form, signal) {
  for (;;) {
    try {
      const response = await request(path, { method: "POST", body: form, signal });
      const body = await response.json();
      return response.status === 202 ? { pending: body } : { done: body };
    } catch (error) {
      if (!(error instanceof Problem && CROWDED.has(error.code))) throw error;
      await pause((error.retryAfter ?? 5) * 1000, signal);
    }
  }
}

/** Wait for an upload's outcome; null when none came for two minutes. */
export async function outcomeOf(statusUrl, signal) {
  const until = Date.now() + LONGEST_POLL;
  while (Date.now() < until) {
    await pause(1000, signal);
    const status = await call(statusUrl, { signal });
    if (status.status !== "pending") return status;
  }
  return null;
}

/** The service's health; also from its 503. */
export async function health(signal) {
  const response = await send(HEALTH, { signal });
  return response.json();
}

/** Wait; reject with the signal's reason when it aborts. */
export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/** Whether an error only says that a view was left. */
export function isAbort(error) {
  return error?.name === "AbortError";
}

async function send(url, options) {
  let response;
  const asked = Date.now();
  try {
    response = await fetch(url, { credentials: "omit", ...options });
  } catch (error) {
    if (isAbort(error)) throw error;
    if (url !== HEALTH) contact.dispatchEvent(new Event("lost"));
    throw new Unreachable();
  }
  // A picture may come out of the browser's cache, with the time at which it was stored.
  const isNew = response.headers.get("cache-control")?.includes("no-store");
  if (isNew) noteServerTime(response.headers.get("date"), asked);
  return response;
}

async function problemOf(response) {
  let document = {};
  try {
    document = await response.json();
  } catch {
    // A proxy's own page, for example: the status has to do.
  }
  const retry = Number.parseFloat(response.headers.get("retry-after") ?? "");
  return new Problem(response.status, document, Number.isFinite(retry) ? retry : null);
}

/** Whether there is now another key than the one that was refused. */
async function keyFor(problem, refused) {
  if (storedKey() !== refused) return true;
  if (!askForKey) return false;
  asking ??= askForKey(refused ? problem.message : null).finally(() => {
    asking = null;
  });
  const key = await asking;
  if (!key) return false;
  sessionStorage.setItem(STORED_KEY, key);
  return true;
}
