/* All enrolled people. */

import { call, isAbort, pause } from "../api.js";
import { fill, h, say } from "../dom.js";
import { count, dayOf, marksOf, nameOf } from "../format.js";
import { emptyState, problemBox } from "../parts.js";

const PAGE = 50;
const TYPING_PAUSE = 200;

export async function showPeople({ root, signal }) {
  const search = h("input", {
    type: "search", "aria-label": "Search by name, e-mail or id", placeholder: "Name, e-mail or id",
    autocomplete: "off", spellcheck: "false",
  });
  const statusLine = h("p.fine", { role: "status" });
  const list = h("ul.people");
  const below = h("div.below");
  fill(root,
    h("div.bar-top", {}, h("h1", {}, "People"), statusLine, h("span.spring"), search,
      h("a.button", { href: "#/people/check" }, "Check"),
      h("a.button", { href: "#/corrections" }, "Corrections"),
      h("a.button.primary", { href: "#/enrol" }, "Enrol")),
    list, below);

  let looking = new AbortController();
  search.addEventListener("input", () => look(TYPING_PAUSE));
  await look(0);

  async function look(wait) {
    looking.abort();
    looking = new AbortController();
    const either = AbortSignal.any([signal, looking.signal]);
    try {
      await pause(wait, either);
      await page(null, either);
    } catch (error) {
      if (!isAbort(error)) fill(below, problemBox(error, () => look(0)));
    }
  }

  async function page(cursor, either) {
    const query = new URLSearchParams({ limit: PAGE });
    if (search.value.trim()) query.set("q", search.value.trim());
    if (cursor) query.set("cursor", cursor);
    const { items, next_cursor: more } = await call(`/users?${query}`, { signal: either });
    if (!cursor) list.replaceChildren();
    list.append(...items.map(line));
    const shown = list.children.length;
    say(statusLine, shown ? (more ? `first ${shown}` : count(shown, "person", "people")) : "");
    fill(below, foot(shown, more, either));
  }

  function foot(shown, more, either) {
    if (more) {
      const button = h("button", { type: "button" }, "Show more");
      button.addEventListener("click", () => {
        button.disabled = true;
        page(more, either).catch((error) => {
          if (!isAbort(error)) fill(below, problemBox(error, () => look(0)));
        });
      });
      return button;
    }
    if (shown) return null;
    if (search.value.trim()) return emptyState("No one has that name, address or id.");
    return emptyState("No one is enrolled yet.", "Until then, all people at the cameras are unknown.");
  }
}

function line(user) {
  return h("li.person-line", {},
    h("a", { href: `#/people/${user.id}` }, nameOf(user)),
    h("span.mail", {}, marksOf(user)),
    user.is_active ? null : h("span.tag", {}, "deactivated"),
    h("span.fine.since", {}, `since ${dayOf(user.created_at)}`));
}
