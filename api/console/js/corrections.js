/* Mistakes put right: each at once, with a button to take it back. */

import { call, callWith, isAbort } from "./api.js";
import { notice } from "./dialogs.js";
import { reasonOf } from "./parts.js";

/**
 * Make a correction, say so, and offer to undo it.
 *
 * @param {object} body of `POST /corrections`
 * @param {string} sentence what is so from now on
 * @param {() => Promise<void>} redraw shows the view again; not called once it was left
 * @param {AbortSignal} signal aborts when the view is left
 */
export async function correct(body, sentence, redraw, signal) {
  const made = await callWith("POST", "/corrections", body);
  offerUndo(sentence, () => undo(made.id), redraw, signal);
  if (!signal.aborted) await redraw();
}

/** Say what was done, with a button that takes it back; `left` says what is so after that. */
export function offerUndo(sentence, takeBack, redraw, signal, left = "Undone") {
  notice(sentence, {
    label: "Undo",
    run: async () => {
      try {
        await takeBack();
        notice(left);
        if (!signal.aborted) await redraw();
      } catch (error) {
        if (!isAbort(error)) notice(reasonOf(error));
      }
    },
  });
}

/** Undo a correction. */
export function undo(id) {
  return call(`/corrections/${id}/undo`, { method: "POST" });
}
