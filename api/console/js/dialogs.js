/* Modal questions, as native dialogs: focus is kept inside, Escape declines. */

import { fill, h, uniqueId } from "./dom.js";

/**
 * Show a dialog and wait until it is closed.
 *
 * @returns {Promise<string>} the value of the button that closed it; empty when declined
 */
export function ask(content, { label }) {
  const dialog = h("dialog", { "aria-labelledby": label }, content);
  document.body.append(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener("cancel", () => {
      dialog.returnValue = "";
    });
    for (const button of dialog.querySelectorAll("[data-cancel]")) {
      button.addEventListener("click", () => dialog.close(""));
    }
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue);
    });
    dialog.showModal();
  });
}

/** Ask before something that cannot be taken back. */
export async function confirmDanger({ title, body, action }) {
  const id = uniqueId("dialog");
  const answer = await ask(
    h(
      "form",
      { method: "dialog" },
      h("h2", { id }, title),
      body.map((line) => h("p", {}, line)),
      h(
        "div.actions",
        {},
        h("button", { value: "", autofocus: true }, "Cancel"),
        h("button.danger", { value: "yes" }, action),
      ),
    ),
    { label: id },
  );
  return answer === "yes";
}

/** Ask for an API key; null when the operator declines. */
export async function askForKey(refusal) {
  const title = uniqueId("dialog");
  const field = uniqueId("key");
  const hint = uniqueId("hint");
  const input = h("input", {
    id: field,
    type: "password",
    autocomplete: "off",
    spellcheck: "false",
    required: true,
    "aria-describedby": hint,
    "aria-invalid": refusal ? "true" : null,
  });
  const answer = await ask(
    h(
      "form",
      { method: "dialog" },
      h("h2", { id: title }, "API key"),
      h("p", { id: hint }, "This server needs a key; ", h("code", {}, "fecapass keys create"),
        " makes one. It is kept in this tab until the tab is closed."),
      refusal ? h("p.error", { role: "alert" }, `Refused: ${refusal}`) : null,
      h("label", { for: field }, "Key"),
      input,
      h(
        "div.actions",
        {},
        // Not a submit button: Enter in the field must not decline.
        h("button", { type: "button", "data-cancel": true }, "Cancel"),
        h("button.primary", { value: "yes", type: "submit" }, "Use key"),
      ),
    ),
    { label: title },
  );
  return answer === "yes" ? input.value.trim() || null : null;
}

/** Show something, with a button to close it. */
export function show(title, content) {
  const id = uniqueId("dialog");
  const close = h("button", { value: "", autofocus: true }, "Close");
  return ask(
    h("form", { method: "dialog" }, h("h2", { id }, title), content, h("div.actions", {}, close)),
    { label: id },
  );
}

/**
 * A sentence that passes by; read to users of screen readers.
 *
 * @param {string} text the sentence
 * @param {{label: string, run: () => void}|null} action a button in it: it stays longer, and as
 *   long as the pointer or the focus is on it
 */
export function notice(text, action = null) {
  const line = h("p.notice", {}, text);
  if (action) {
    const button = h("button", { type: "button" }, action.label);
    button.addEventListener("click", () => {
      line.remove();
      action.run();
    });
    line.append(" ", button);
  }
  fill(document.getElementById("notices"), line);
  const pass = () => {
    if (line.matches(":hover, :focus-within")) setTimeout(pass, 1000);
    else line.remove();
  };
  setTimeout(pass, action ? 15_000 : 5000);
}
