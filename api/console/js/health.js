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
    const problems = problemsOf(last);
    say(text, labelOf(status, problems));
    button.title = problems.join("\n");
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

/** Sentences; of a server of an earlier release, from its checks. */
function problemsOf(report) {
  if (report?.problems) return report.problems;
  const failed = Object.entries(report?.checks ?? {}).filter(([, check]) => check.status !== "ok");
  return failed.map(([name]) => `${NAMES[name] ?? name} is down`);
}

/** One problem is named; several are counted, and the button opens the list. */
function labelOf(status, problems) {
  if (problems.length === 1) return capitalised(problems[0]);
  if (problems.length > 1) return `${LABELS[status] ?? "Degraded"}: ${problems.length} problems`;
  return LABELS[status] ?? "No connection";
}

function capitalised(text) {
  return text.replace(/^./, (letter) => letter.toUpperCase());
}

function details(report) {
  if (!report?.checks) return h("p", {}, "The server does not answer.");
  return h("div", {}, problemList(problemsOf(report)), serverTable(report.checks), pipelineTable(report.pipeline));
}

function problemList(problems) {
  if (!problems.length) return h("p", {}, "Everything works.");
  return h("ul.problems", { "aria-label": "Problems" }, problems.map((one) => h("li", {}, capitalised(one))));
}

function table(names, rows) {
  const head = h("tr", {}, names.map((name) => h("th", { scope: "col" }, name)));
  return h("table.checks", {}, h("thead", {}, head), h("tbody", {}, rows));
}

function serverTable(checks) {
  return table(["Server", "State", "Answered in"], Object.entries(checks).map(([name, check]) =>
    h("tr", {},
      h("th", { scope: "row" }, NAMES[name] ?? name),
      h("td", { "data-status": check.status }, check.status === "ok" ? "up" : check.detail ?? "down"),
      h("td.number", {}, `${check.latency_ms.toFixed(1)} ms`))));
}

function pipelineTable(pipeline) {
  const roles = Object.entries(pipeline?.workers ?? {});
  if (!roles.length) return null;
  return table(["Workers", "State", "To process"], roles.map(([role, workers]) => {
    const lag = pipeline.lag[role];
    const isWell = workers.running && !workers.unhealthy;
    return h("tr", {},
      h("th", { scope: "row" }, capitalised(role)),
      h("td", { "data-status": isWell ? "ok" : "failed" }, workersOf(workers)),
      h("td.number", {}, lag ? `${lag.messages.toLocaleString("en")} (${lag.seconds.toFixed(0)} s)` : ""));
  }));
}

function workersOf({ running, unhealthy, lost }) {
  const parts = [`${running} running`];
  if (unhealthy) parts.push(`${unhealthy} not healthy`);
  if (lost) parts.push(`${lost} lost`);
  return parts.join(", ");
}
