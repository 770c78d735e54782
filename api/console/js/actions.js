/* Buttons that do something: one at a time, and a failure is shown where the view says. */

import { isAbort } from "./api.js";
import { fill, h } from "./dom.js";
import { problemBox } from "./parts.js";

/**
 * Runs the work of the buttons of a view.
 *
 * @param {Element} errors where a failure is shown
 * @returns {(work: () => Promise<void>) => () => Promise<void>} makes a listener of a work
 */
export function oneAtATime(errors) {
  let isBusy = false;
  return (work) => async () => {
    if (isBusy) return; // not disabled: a dialog gives the focus back to its button
    isBusy = true;
    fill(errors);
    try {
      await work();
    } catch (error) {
      if (!isAbort(error)) fill(errors, problemBox(error));
    } finally {
      isBusy = false;
    }
  };
}

/** A button with its work. */
export function actionButton(text, act, work, { kind = "", label = null } = {}) {
  const button = h(kind ? `button.${kind}` : "button", { type: "button", "aria-label": label }, text);
  button.addEventListener("click", act(work));
  return button;
}
