/* Building and finding elements. Data goes in as text, never as markup. */

/**
 * Make an element.
 *
 * @param {string} tag its name, classes after dots: "div.row.known"
 * @param {object} [attributes] attributes; `on` holds listeners, a function is none of them.
 *   true sets an empty attribute; false, null and undefined leave it out.
 * @param {...(Node|string|number|null|undefined|Array)} children text is inserted as text
 * @returns {HTMLElement}
 */
export function h(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length) element.classList.add(...classes);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "on") {
      for (const [event, listener] of Object.entries(value)) {
        element.addEventListener(event, listener);
      }
    } else if (value === true) {
      element.setAttribute(key, "");
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(key, String(value));
    }
  }
  element.append(...flat(children));
  return element;
}

/** Replace what an element holds; nothing for null, undefined and false. */
export function fill(element, ...children) {
  element.replaceChildren(...flat(children));
  return element;
}

/** Set an element's text only where it differs, so that nothing is painted or announced again. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function flat(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (typeof child === "number" ? String(child) : child));
}

let counted = 0;

/** An id that no other element has, to join labels, hints and fields. */
export function uniqueId(prefix) {
  counted += 1;
  return `${prefix}-${counted}`;
}
