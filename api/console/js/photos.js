/* Taking photos in: dropped, chosen or pasted. */

import { h, uniqueId } from "./dom.js";

const KINDS = "image/jpeg,image/png,image/webp";

/**
 * A place for photos. While it is shown, photos may be dropped anywhere on the page, and pasted.
 *
 * @param {object} options
 * @param {boolean} options.many whether several are taken at once
 * @param {string} options.prompt what to do, in a sentence
 * @param {(files: File[]) => void} options.take
 * @param {AbortSignal} options.signal ends listening
 */
export function photoDrop({ many, prompt, take, signal }) {
  const hint = uniqueId("drop");
  const input = h("input", { type: "file", accept: KINDS, multiple: many, hidden: true });
  const button = h("button", { type: "button", "aria-describedby": hint },
    many ? "Choose photos" : "Choose a photo");
  const zone = h("div.drop", {}, h("p", { id: hint }, prompt), button, input);

  const offer = (list) => {
    const files = [...(list ?? [])].filter((file) => file.type.startsWith("image/") || !file.type);
    if (files.length) take(many ? files : files.slice(0, 1));
  };
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    offer(input.files);
    input.value = "";
  });

  let depth = 0;
  const over = (isOver) => zone.classList.toggle("over", isOver);
  const listen = (type, listener) => document.addEventListener(type, listener, { signal });
  listen("dragenter", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    depth += 1;
    over(true);
  });
  listen("dragleave", () => {
    depth = Math.max(0, depth - 1);
    if (!depth) over(false);
  });
  listen("dragover", (event) => event.preventDefault());
  listen("drop", (event) => {
    event.preventDefault();
    depth = 0;
    over(false);
    offer(event.dataTransfer?.files);
  });
  listen("paste", (event) => offer(event.clipboardData?.files));
  return zone;
}

/** A picture of a file on this machine; the address is given back when the signal aborts. */
export function preview(file, alt, signal) {
  const address = URL.createObjectURL(file);
  signal.addEventListener("abort", () => URL.revokeObjectURL(address), { once: true });
  const image = h("img", { src: address, alt });
  // What the browser cannot show, the server may refuse with a reason: no torn picture until then.
  image.addEventListener("error", () => {
    image.hidden = true;
    image.parentElement?.classList.add("missing");
  });
  return image;
}
