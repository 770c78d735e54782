/* The question who someone is: one of the people there are, or a new one. */

import { call, callWith, isAbort, pause } from "./api.js";
import { ask } from "./dialogs.js";
import { fill, h, say, uniqueId } from "./dom.js";
import { nameOf } from "./format.js";

const OFFERED = 6;
const TYPING_PAUSE = 150;

/**
 * Ask who someone is.
 *
 * @param {string} title the question
 * @param {object} [options]
 * @param {boolean} [options.canBeNew] whether the name may be that of a new person
 * @param {string|null} [options.except] id of a person who is not offered
 * @param {string|null} [options.extra] text of a box that may be ticked
 * @returns {Promise<{user: object|null, name: string, ticked: boolean}|null>} `user` is null for a
 *   new person; null: declined
 */
export async function askWho(title, { canBeNew = false, except = null, extra = null } = {}) {
  const [id, field] = [uniqueId("dialog"), uniqueId("who")];
  const input = h("input", {
    id: field, type: "text", autocomplete: "off", spellcheck: "false", maxlength: 200, required: true,
  });
  const list = h("ul.offered", { "aria-label": "People with this name" });
  const nothing = h("p.fine", { role: "status" });
  const box = h("input", { type: "checkbox", id: uniqueId("box") });
  const make = h("button.primary", { value: "new", type: "submit", hidden: !canBeNew }, "New person");
  const form = h("form.who-is", { method: "dialog" },
    h("h2", { id }, title), h("label", { for: field }, "Name"), input, list, nothing,
    extra ? h("p.tick", {}, box, h("label", { for: box.id }, extra)) : null,
    h("div.actions", {},
      h("button", { type: "button", "data-cancel": true }, "Cancel"), make));
  let chosen = null;
  const closing = new AbortController();

  const offer = (user) => {
    const button = h("button", { type: "button" }, nameOf(user));
    button.addEventListener("click", () => {
      chosen = user;
      form.closest("dialog").close("old");
    });
    return h("li", {}, button);
  };
  let looking = new AbortController();
  async function look(wait) {
    looking.abort();
    looking = new AbortController();
    const signal = AbortSignal.any([looking.signal, closing.signal]);
    try {
      await pause(wait, signal);
      const query = new URLSearchParams({ limit: OFFERED + 1 });
      if (input.value.trim()) query.set("q", input.value.trim());
      const { items } = await call(`/users?${query}`, { signal });
      const others = items.filter((user) => user.id !== except).slice(0, OFFERED);
      fill(list, others.map(offer));
      say(nothing, others.length ? "" : canBeNew ? "No one has this name yet." : "No one has this name.");
    } catch (error) {
      if (!isAbort(error)) say(nothing, error.message);
    }
  }
  input.addEventListener("input", () => look(TYPING_PAUSE));
  form.addEventListener("submit", (event) => {
    if (!canBeNew || !input.value.trim()) event.preventDefault();
  });
  look(0);
  const answer = await ask(form, { label: id });
  closing.abort();
  if (answer === "old") return { user: chosen, name: nameOf(chosen), ticked: box.checked };
  if (answer === "new") return { user: null, name: input.value.trim(), ticked: box.checked };
  return null;
}

/** Of a person who is being made: the people who had this name before the first attempt. */
const begun = new Map();

/**
 * Make a new person, once: where an attempt is made again because its answer was lost, or what
 * followed failed, the person that it has made is found.
 *
 * @param {string} what what the name is given to
 * @param {string} name
 * @param {(user: object) => Promise<void>} use what is done with the person
 */
export async function withNewPerson(what, name, use, signal) {
  const [key, full] = [`${what} ${name}`, name.normalize("NFC").replace(/\s+/g, " ")];
  const query = new URLSearchParams({ q: full, limit: 100 });
  const { items } = await call(`/users?${query}`, { signal });
  const same = items.filter((user) => user.full_name === full);
  if (!begun.has(key)) begun.set(key, new Set(same.map((user) => user.id)));
  const made = same.find((user) => !begun.get(key).has(user.id));
  await use(made ?? await callWith("POST", "/users", { full_name: name }, signal));
  begun.delete(key);
}
