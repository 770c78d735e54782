/* What people have corrected, and its undo. */

import { call, isAbort } from "../api.js";
import { undo } from "../corrections.js";
import { notice } from "../dialogs.js";
import { fill, h, say } from "../dom.js";
import { count, moment, nameOf } from "../format.js";
import { emptyState, problemBox } from "../parts.js";

const PAGE = 50;

/** What each kind says, with the names of the user and of the other user, and the unknown. */
const SENTENCES = {
  not_user: (user) => ["This is not ", user],
  is_user: (user, other) => (other ? ["This is ", user, ", not ", other] : ["This is ", user]),
  merge: (user, other) => [other, " is the same person as ", user],
  split: (user, other) => ["Photos of ", user, " show ", other],
  photo_out: (user) => ["A photo of ", user, " does not count"],
  promote: (user, _other, unknown) => [unknown, " is ", user],
  dismiss: (_user, _other, unknown) => [unknown, " is put aside"],
  undo: (user, _other, unknown) => ["Undone: what was said of ", user ?? unknown],
};

export async function showCorrections({ root, signal }) {
  const names = new Names(signal);
  const total = h("p.fine", { role: "status" });
  const list = h("ol.corrections");
  const [errors, below] = [h("div"), h("div.below")];
  fill(root, h("p.crumb", {}, h("a", { href: "#/people" }, "People")),
    h("div.bar-top", {}, h("h1", {}, "Corrections"), total), errors, list, below);

  async function page(cursor) {
    const query = new URLSearchParams({ limit: PAGE });
    if (cursor) query.set("cursor", cursor);
    const { items, next_cursor: more } = await call(`/corrections?${query}`, { signal });
    await names.learn(items.flatMap((one) => [one.user_id, one.other_user_id]));
    if (!cursor) list.replaceChildren();
    list.append(...items.map(line));
    const shown = list.children.length;
    say(total, shown ? (more ? `newest ${shown}` : count(shown, "correction")) : "");
    fill(below, more ? button("Show more", () => page(more))
      : shown ? null : emptyState("Nothing was corrected yet.", "A visit’s page says who it was not."));
  }

  function button(text, work) {
    const made = h("button", { type: "button" }, text);
    made.addEventListener("click", async () => {
      made.disabled = true;
      fill(errors);
      try {
        await work();
      } catch (error) {
        if (isAbort(error)) return;
        fill(errors, problemBox(error));
        made.disabled = false;
      }
    });
    return made;
  }

  function line(one) {
    const sentence = SENTENCES[one.kind]?.(
      names.link(one.user_id), names.link(one.other_user_id), unknownLink(one.unknown_id)) ?? [one.kind];
    const about = one.visit_id ? h("a", { href: `#/visits/${one.visit_id}` }, "the visit") : null;
    const takeBack = button("Undo", async () => {
      await undo(one.id);
      notice("Undone");
      await page(null);
    });
    return h("li.correction", {},
      h("p", {}, sentence, about ? [" (", about, ")"] : null),
      h("p.fine", {}, `${moment(one.made_at)}, by ${one.actor}`),
      one.undone_by ? h("span.tag", {}, "undone") : one.can_be_undone ? takeBack : null);
  }

  await page(null);
}

function unknownLink(id) {
  return id ? h("a", { href: `#/unknowns/${id}` }, "An unknown person") : null;
}

/** The names of people by their ids; of those who were erased, there is none. */
class Names {
  #known = new Map();

  constructor(signal) {
    this.signal = signal;
  }

  async learn(ids) {
    const asked = [...new Set(ids)].filter((id) => id && !this.#known.has(id));
    await Promise.all(asked.map(async (id) => {
      try {
        this.#known.set(id, nameOf(await call(`/users/${id}`, { signal: this.signal })));
      } catch (error) {
        if (error.status !== 404) throw error;
        this.#known.set(id, null);
      }
    }));
  }

  link(id) {
    if (!id) return null;
    const name = this.#known.get(id);
    return name ? h("a", { href: `#/people/${id}` }, name) : "a person who was deleted";
  }
}
