/* Cameras: their last frame and rate. */

import { call, isAbort, pause } from "../api.js";
import { fill, h, say } from "../dom.js";
import { ago, count, exactly, serverNow } from "../format.js";
import { emptyState, reasonOf, timeElement } from "../parts.js";

const EVERY = 3000;
/** Without a frame for so long, a camera counts as silent. */
const SILENT = 10_000;
/** In seconds, the largest first. */
const UNITS = [[86_400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];

/** Keep a section's list of cameras current until the signal aborts. */
export async function watchCameras(section, signal) {
  const note = h("p.fine", { role: "status" });
  const list = h("ul.camera-list", { tabindex: 0, "aria-labelledby": "cameras-title" });
  const empty = h("div");
  const title = h("h2", { id: "cameras-title" }, "Cameras");
  fill(section, h("div.bar-top", {}, title, note), empty, list);
  const cards = new Map();
  while (!signal.aborted) {
    let wait = EVERY;
    try {
      const { items } = await call("/cameras", { signal });
      draw(items, cards, list);
      showEmpty(empty, items);
      say(note, items.length ? `${items.filter(isLive).length} of ${items.length} sending` : "");
    } catch (error) {
      if (isAbort(error)) return;
      say(note, reasonOf(error));
      wait = Math.max(2 * EVERY, 1000 * (error.retryAfter ?? 0));
    }
    await pause(wait, signal).catch(() => {});
  }
}

function isLive(camera) {
  return serverNow() - Date.parse(camera.last_frame_at) < SILENT;
}

function showEmpty(place, items) {
  if (items.length) fill(place);
  else if (!place.hasChildNodes()) {
    const how = h("code", {}, "fecapass publish VIDEO ", h("span.nowrap", {}, "--camera entrance"));
    place.append(emptyState("No camera has sent a frame yet.", how));
  }
}

function draw(items, cards, list) {
  const here = new Set(items.map((camera) => camera.camera_id));
  for (const [id, card] of cards) {
    if (here.has(id)) continue;
    card.element.remove();
    cards.delete(id);
  }
  for (const [place, camera] of items.entries()) {
    if (!cards.has(camera.camera_id)) cards.set(camera.camera_id, newCard(camera));
    const card = cards.get(camera.camera_id);
    card.update(camera);
    // By name, in the order of arrival; elements in the right place are not moved.
    if (list.children[place] !== card.element) {
      list.insertBefore(card.element, list.children[place] ?? null);
    }
  }
}

function newCard(camera) {
  const state = h("span.hidden-text");
  const rate = h("span.number.rate");
  const time = timeElement(camera.last_frame_at, { isRelative: true });
  const clock = h("span.fine.clock");
  const dot = h("span.dot", { "aria-hidden": "true" });
  const element = h("li.camera-card", {},
    h("span.camera-name", {}, dot, h("span", {}, camera.camera_id), state),
    rate,
    h("span.fine", {}, h("span.wide", {}, "Last frame "), time),
    clock);
  return {
    element,
    update(now) {
      const isSending = isLive(now);
      element.dataset.state = isSending ? "live" : "silent";
      say(state, isSending ? ", sending" : ", silent");
      say(rate, `${now.frames_per_second.toFixed(1)} fps`);
      time.dateTime = now.last_frame_at;
      time.title = exactly(now.last_frame_at);
      say(time, ago(now.last_frame_at));
      say(clock, wrongClock(now.clock_ahead_seconds));
    },
  };
}

/** What is wrong with a camera's clock, if it is so wrong that its times are not trusted. */
function wrongClock(ahead) {
  if (ahead === null) return "";
  const [size, unit] = UNITS.find(([seconds]) => Math.abs(ahead) >= seconds) ?? UNITS.at(-1);
  const amount = count(Math.round(Math.abs(ahead) / size), unit);
  return `Clock ${amount} ${ahead > 0 ? "ahead" : "behind"}`;
}
