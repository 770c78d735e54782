/* Unknown people who came more than once: name them, or put them aside. */

import { oneAtATime } from "../actions.js";
import { call, isAbort } from "../api.js";
import { fill, h, say } from "../dom.js";
import { count } from "../format.js";
import { emptyState, problemBox, timeElement } from "../parts.js";
import { picture } from "../pictures.js";
import { summary, unknownActions } from "../unknowns.js";

const PAGE = 50;

export async function showUnknowns({ root, signal }) {
  const total = h("p.fine", { role: "status" });
  const list = h("ul.unknowns");
  const [errors, below] = [h("div"), h("div.below")];
  const act = oneAtATime(errors);
  let next = null;
  fill(root, h("div.bar-top", {}, h("h1", {}, "Unknown people"), total), errors, list, below);

  async function page(cursor) {
    const query = new URLSearchParams({ limit: PAGE });
    if (cursor) query.set("cursor", cursor);
    const { items, next_cursor: more } = await call(`/unknowns?${query}`, { signal });
    if (!cursor) list.replaceChildren();
    list.append(...items.map(card));
    next = more;
    showTotal();
  }

  function showTotal() {
    const more = next;
    const shown = list.children.length;
    say(total, shown ? (more ? `latest ${shown}` : count(shown, "person", "people")) : "");
    fill(below, more ? moreButton(more) : shown ? null
      : emptyState("No unknown person has come twice.",
        "Someone who is not enrolled appears here after the second visit."));
  }

  function moreButton(cursor) {
    const button = h("button", { type: "button" }, "Show more");
    button.addEventListener("click", () => {
      button.disabled = true;
      page(cursor).catch((error) => isAbort(error) || fill(below, problemBox(error, () => page(cursor))));
    });
    return button;
  }

  function card(unknown) {
    const element = h("li.unknown", {},
      picture(unknown.crop_url),
      h("div", {},
        h("a.unknown-link", { href: `#/unknowns/${unknown.unknown_id}` }, summary(unknown)),
        h("p.fine", {}, "last seen ", timeElement(unknown.last_seen_at, { isRelative: true }))));
    const done = async (answer) => {
      if (answer) location.hash = `#/people/${answer.user_id}`;
      else {
        const neighbour = element.nextElementSibling ?? element.previousElementSibling;
        element.remove();
        neighbour?.querySelector("a")?.focus();
        showTotal();
      }
    };
    element.append(unknownActions(unknown, act, done, () => page(null), signal));
    return element;
  }

  await page(null);
}
