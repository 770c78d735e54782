/* Start: the router, the header, the live stream. */

import { forgetKey, isAbort, onKeyNeeded, storedKey } from "./api.js";
import { askForKey } from "./dialogs.js";
import { fill } from "./dom.js";
import { watchHealth } from "./health.js";
import { live } from "./live.js";
import { problemBox } from "./parts.js";
import { showCheck } from "./views/check.js";
import { showCorrections } from "./views/corrections.js";
import { showEnrol } from "./views/enrol.js";
import { showLive } from "./views/live.js";
import { showPeople } from "./views/people.js";
import { showPerson } from "./views/person.js";
import { showSearch } from "./views/search.js";
import { showSimilar } from "./views/similar.js";
import { showUnknown } from "./views/unknown.js";
import { showUnknowns } from "./views/unknowns.js";
import { showVisit } from "./views/visit.js";

const ID = "([0-9a-f-]{36})";
const ROUTES = [
  { pattern: /^\/?$/, title: "Live", nav: "#/", show: showLive },
  { pattern: new RegExp(`^/visits/${ID}$`), title: "Visit", nav: "#/", show: showVisit },
  { pattern: /^\/unknowns$/, title: "Unknown people", nav: "#/unknowns", show: showUnknowns },
  { pattern: new RegExp(`^/unknowns/${ID}$`), title: "Unknown person", nav: "#/unknowns", show: showUnknown },
  { pattern: /^\/corrections$/, title: "Corrections", nav: "#/people", show: showCorrections },
  { pattern: new RegExp(`^/faces/${ID}/similar(?:/([1-9]\\d{0,2}))?$`), title: "Where else", nav: "#/", show: showSimilar },
  { pattern: /^\/people$/, title: "People", nav: "#/people", show: showPeople },
  { pattern: /^\/people\/check$/, title: "Check of people", nav: "#/people", show: showCheck },
  { pattern: new RegExp(`^/people/${ID}$`), title: "Person", nav: "#/people", show: showPerson },
  { pattern: /^\/enrol$/, title: "Enrol", nav: "#/enrol", show: showEnrol },
  { pattern: new RegExp(`^/people/${ID}/photos$`), title: "Add photos", nav: "#/people", show: showEnrol },
  { pattern: /^\/search$/, title: "Search", nav: "#/search", show: showSearch },
];

const main = document.getElementById("main");
const forget = document.getElementById("forget-key");
let leaving = null;

async function route({ isFirst = false } = {}) {
  const path = decodeURI(location.hash.replace(/^#/, ""));
  if (path && !path.startsWith("/")) return; // the skip link
  leaving?.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const found = ROUTES.find((one) => one.pattern.test(path));
  if (!found) {
    location.replace("#/");
    return;
  }
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === found.nav) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${found.title} · Fecapass`;
  fill(main);
  const view = { root: main, signal, params: path.match(found.pattern).slice(1) };
  if (!isFirst) {
    main.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }
  try {
    await found.show(view);
  } catch (error) {
    if (signal.aborted || isAbort(error)) return;
    fill(main, problemBox(error, () => route()));
  }
}

function showKeyState() {
  forget.hidden = !storedKey();
}

onKeyNeeded(async (refusal) => {
  const key = await askForKey(refusal);
  // Afterwards, when the key has been stored.
  setTimeout(showKeyState);
  if (key && ["refused", "lost"].includes(live.state)) setTimeout(() => live.start());
  return key;
});
forget.addEventListener("click", () => {
  forgetKey();
  location.reload();
});
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
document.addEventListener("click", (event) => {
  const link = event.target.closest?.('a[href^="#/"]');
  const isPlain = event.button === 0 && !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);
  if (!link || !isPlain || link.getAttribute("href") !== (location.hash || "#/")) return;
  // The browser does nothing for the address that it shows already; the view starts again.
  event.preventDefault();
  route();
});
window.addEventListener("hashchange", () => route());
window.addEventListener("pageshow", showKeyState);

watchHealth(document.getElementById("health"));
live.start();
route({ isFirst: true });
