/* What may be done about an unknown person: give a name, or put aside. */

import { actionButton } from "./actions.js";
import { call, callWith } from "./api.js";
import { notice } from "./dialogs.js";
import { h } from "./dom.js";
import { count } from "./format.js";
import { titleOf } from "./parts.js";
import { askWho } from "./whois.js";

/** "5 visits at entrance, yard". */
export function summary(unknown) {
  const where = unknown.cameras.length ? ` at ${unknown.cameras.join(", ")}` : "";
  return `${count(unknown.visits, "visit")}${where}`;
}

/**
 * Ask for a name and give it: past visits and faces are this person's from then on.
 *
 * @returns {Promise<object|null>} the answer of the server; null: declined
 */
export async function giveName(unknown, signal) {
  const who = await askWho("Who is this?", { canBeNew: true });
  if (!who) return null;
  const body = who.user ? { user_id: who.user.id } : { full_name: who.name };
  const done = await callWith("POST", `/unknowns/${unknown.unknown_id}/promote`, body, signal);
  const labelled = `${count(done.visits, "visit")} and ${count(done.faces, "face")} are ${who.name}’s now`;
  notice(done.refusal
    ? `${labelled}. No picture could be enrolled (${titleOf(done.refusal)}): add a photo.`
    : `${labelled}.`);
  return done;
}

/** Put aside: it is not listed any more. */
export async function putAside(unknown, signal) {
  await call(`/unknowns/${unknown.unknown_id}/dismiss`, { method: "POST", signal });
  notice("Put aside; further visits do not bring it back");
}

/** The two buttons; `done` gets the answer of the server, or null for one that was put aside. */
export function unknownActions(unknown, act, done, signal) {
  return h("div.actions", {},
    actionButton("Give a name", act, async () => {
      const answer = await giveName(unknown, signal);
      if (answer) await done(answer);
    }, { kind: "primary" }),
    actionButton("Put aside", act, async () => {
      await putAside(unknown, signal);
      await done(null);
    }, { kind: "quiet" }));
}
