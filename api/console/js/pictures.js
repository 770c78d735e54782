/* Pictures of faces. They are fetched, not linked: an <img> cannot send an API key. */

import { isAbort, pause, Problem, request } from "./api.js";
import { h } from "./dom.js";

const AT_ONCE = 6;
const waiting = [];
let running = 0;

/**
 * A square with a face in it, its place reserved from the beginning.
 *
 * @param {string|null} url of the crop; null when there is none
 * @param {string} alt empty if a name is next to it
 */
export function picture(url, alt = "") {
  const image = h("img", { alt, decoding: "async", hidden: true });
  const frame = h("span.picture", {}, image);
  if (url) load(frame, image, url);
  else frame.classList.add("missing");
  return frame;
}

/** Show another crop in the same square; the old one stays until the new one is there. */
export function exchange(frame, url) {
  const image = frame.querySelector("img");
  if (url) {
    load(frame, image, url);
    return;
  }
  delete frame.dataset.url; // what is still on its way is not shown
  image.hidden = true;
  image.removeAttribute("src");
  frame.classList.add("missing");
}

function load(frame, image, url) {
  frame.dataset.url = url;
  waiting.push({ frame, image, url });
  next();
}

function next() {
  while (running < AT_ONCE && waiting.length) {
    // The newest first: it is what the operator looks at.
    const job = waiting.pop();
    if (job.frame.dataset.url !== job.url) continue;
    running += 1;
    run(job).finally(() => {
      running -= 1;
      next();
    });
  }
}

async function run({ frame, image, url }) {
  try {
    const blob = await fetchCrop(url);
    if (frame.dataset.url !== url) return;
    const address = URL.createObjectURL(blob);
    const done = () => URL.revokeObjectURL(address);
    image.addEventListener("load", done, { once: true });
    image.addEventListener("error", done, { once: true });
    image.src = address;
    image.hidden = false;
    frame.classList.remove("missing");
  } catch (error) {
    if (isAbort(error)) return;
    if (image.hidden) frame.classList.add("missing");
    frame.title = error instanceof Problem && error.status === 404 ? "no picture is kept" : error.message;
  }
}

async function fetchCrop(url) {
  try {
    return await (await request(url)).blob();
  } catch (error) {
    if (!(error instanceof Problem) || error.retryAfter === null) throw error;
    await pause(1000 * error.retryAfter);
    return (await request(url)).blob();
  }
}
