/* The state of the service, in the header. */

import { contact, health } from "./api.js";
import { show } from "./dialogs.js";
import { fill, h, say } from "./dom.js";

const EVERY = 15_000;
/** While the server does not answer, the operator waits for it. */
const EVERY_WHILE_LOST = 3000;
const NAMES = {
  main_db: "Main database",
  vector_db: "Vector database",
  redis: "Redis",
  kafka: "Kafka",
  s3: "S3",
};
const LABELS = { ok: "All systems up", degraded: "Degraded", unavailable: "Not available" };

/** Keep a button's text true, and let it open the details. */
export function watchHealth(button) {
  const dot = h("span.dot", { "aria-hidden": "true" });
  const text = h("span", {}, "Checking");
  fill(button, dot, text);
  let last = null;
  let timer = 0;

  async function look() {
    clearTimeout(timer);
    try {
      last = await health();
    } catch {
      last = null;
    }
    const status = last?.status ?? "unreachable";
    button.dataset.status = status;
    const failed = Object.entries(last?.checks ?? {}).filter(([, check]) => check.status !== "ok");
    const [first, ...others] = failed.map(([name]) => NAMES[name] ?? name);
    const label = LABELS[status] ?? "No connection";
    say(text, first && !others.length ? `${first} is down` : label);
    clearTimeout(timer);
    timer = setTimeout(() => document.hidden || look(), last ? EVERY : EVERY_WHILE_LOST);
  }

  button.addEventListener("click", async () => {
    await look();
    show("Service", details(last));
  });
  document.addEventListener("visibilitychange", () => document.hidden || look());
  contact.addEventListener("lost", () => last && look());
  look();
}

function details(report) {
  if (!report?.checks) return h("p", {}, "The server does not answer.");
  return h(
    "table.checks",
    {},
    h("thead", {}, h("tr", {}, ["Server", "State", "Answered in"].map((name) =>
      h("th", { scope: "col" }, name)))),
    h("tbody", {}, Object.entries(report.checks).map(([name, check]) =>
      h("tr", {},
        h("th", { scope: "row" }, NAMES[name] ?? name),
        h("td", { "data-status": check.status }, check.status === "ok" ? "up" : check.detail ?? "down"),
        h("td.number", {}, `${check.latency_ms.toFixed(1)} ms`)))),
  );
}
