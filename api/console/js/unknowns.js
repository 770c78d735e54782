/* What may be done about an unknown person: give a name, or put aside. */

import { actionButton } from "./actions.js";
import { call, callWith } from "./api.js";
import { offerUndo, undo } from "./corrections.js";
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
 * @param {object} unknown of the API
 * @param {() => Promise<void>} undone what an undo does to the view; not called once it was left
 * @param {AbortSignal} signal aborts when the view is left
 * @returns {Promise<object|null>} the answer of the server; null: declined
 */
export async function giveName(unknown, undone, signal) {
  const who = await askWho("Who is this?", { canBeNew: true });
  if (!who) return null;
  const body = who.user ? { user_id: who.user.id } : { full_name: who.name };
  const done = await callWith("POST", `/unknowns/${unknown.unknown_id}/promote`, body, signal);
  const labelled = `${count(done.visits, "visit")} and ${count(done.faces, "face")} are ${who.name}’s now`;
  const said = done.refusal
    ? `${labelled}. No picture could be enrolled (${titleOf(done.refusal)}): add a photo.`
    : `${labelled}.`;
  const left = who.user ? "Undone" : `Undone. ${who.name} stays, without visits and photos`;
  const takeBack = () => undoAndShow(done.correction_id, unknown, `#/people/${done.user_id}`, signal);
  offerUndo(said, takeBack, undone, signal, left);
  return done;
}

/** Put aside: it is not listed any more. */
export async function putAside(unknown, undone, signal) {
  const done = await call(`/unknowns/${unknown.unknown_id}/dismiss`, { method: "POST", signal });
  const takeBack = () => undoAndShow(done.correction_id, unknown, "#/unknowns", signal);
  offerUndo("Put aside; further visits do not bring it back", takeBack, undone, signal);
}

/** Undo, and show the unknown again, if the view that came then is still there. */
async function undoAndShow(correction, unknown, shown, signal) {
  await undo(correction);
  if (signal.aborted && location.hash === shown) location.hash = `#/unknowns/${unknown.unknown_id}`;
}

/**
 * The two buttons.
 *
 * @param {object} unknown of the API
 * @param {(work: () => Promise<void>) => () => Promise<void>} act see `oneAtATime`
 * @param {(answer: object|null) => Promise<void>} done gets the answer of the server, or null for
 *   one that was put aside
 * @param {() => Promise<void>} undone shows the view after an undo; not called once it was left
 * @param {AbortSignal} signal aborts when the view is left
 */
export function unknownActions(unknown, act, done, undone, signal) {
  return h("div.actions", {},
    actionButton("Give a name", act, async () => {
      const answer = await giveName(unknown, undone, signal);
      if (answer) await done(answer);
    }, { kind: "primary" }),
    actionButton("Put aside", act, async () => {
      await putAside(unknown, undone, signal);
      await done(null);
    }, { kind: "quiet" }));
}
