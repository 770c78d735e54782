/* Who is in this photo? */

import { actionButton, oneAtATime } from "../actions.js";
import { isAbort, outcomeOf, Problem, upload } from "../api.js";
import { fill, h, say, uniqueId } from "../dom.js";
import { count, nameOf, similarity } from "../format.js";
import { emptyState, measureList, problemBox, similarityBar, titleOf } from "../parts.js";
import { photoDrop, preview } from "../photos.js";

const DECISIONS = {
  matched: "Matched",
  below_threshold: "No match: below the threshold",
  ambiguous: "Undecided: two people are too similar",
  empty_gallery: "No one is enrolled",
  unreliable: "Undecided: not an upright human face",
};

export function showSearch({ root, signal }) {
  const id = uniqueId("threshold");
  const hint = uniqueId("hint");
  const threshold = h("input", {
    type: "number", id, min: -1, max: 1, step: 0.01, inputmode: "decimal", "aria-describedby": hint,
    placeholder: "model’s own",
  });
  const statusLine = h("p.status-line.search-status", { role: "status" });
  const result = h("div.result");
  let asking = new AbortController();
  let photo = null;

  const drop = photoDrop({
    many: false,
    prompt: "Drop a photo here, or paste it. Every face in it is compared; nothing is stored.",
    take: ([file]) => {
      photo = file;
      search();
    },
    signal,
  });
  threshold.addEventListener("change", () => photo && threshold.checkValidity() && search());
  fill(root,
    h("h1", {}, "Search by photo"),
    drop,
    h("div.field.inline", {}, h("label", { for: id }, "Threshold"), threshold,
      h("span.fine", { id: hint }, "minimum similarity of a match")),
    statusLine, result);

  async function search() {
    asking.abort();
    asking = new AbortController();
    const either = AbortSignal.any([signal, asking.signal]);
    say(statusLine, "Searching");
    result.setAttribute("aria-busy", "true");
    try {
      const answer = await ask(threshold.value ? { threshold: threshold.value } : {}, either);
      if (answer) showAnswer(answer, either);
      else say(statusLine, "The pipeline has not answered; try again later.");
    } catch (error) {
      if (isAbort(error)) return;
      say(statusLine, "");
      fill(result, refusal(error) ?? problemBox(error, search));
    }
    result.removeAttribute("aria-busy");
  }

  async function ask(fields, either) {
    const form = new FormData();
    for (const [name, value] of Object.entries({ photo, limit: "5", ...fields })) form.append(name, value);
    const { done, pending } = await upload("/faces/search", form, either);
    if (pending) say(statusLine, "The pipeline is slow; waiting for its answer");
    return done ?? unpacked(await outcomeOf(pending.status_url, either));
  }

  /** Search once more, so that the faces are kept for ten minutes to be compared with sightings. */
  async function whereElse(face, either) {
    const answer = await ask({ sightings: "true" }, either);
    const same = answer?.faces.find(({ box }) => box.every((side, index) => side === face.box[index]));
    if (same) location.hash = `#/faces/${same.face_id}/similar`;
    else say(statusLine, "The pipeline has not answered; try again later.");
  }

  function showAnswer(answer, either) {
    // Numbered as one reads the photo; the pipeline puts the surest face first.
    const faces = [...answer.faces].sort((one, other) => one.box[0] - other.box[0]);
    say(statusLine, faces.length ? `${count(faces.length, "face")} found` : "");
    if (!faces.length) {
      const image = h("div.photo", {}, preview(photo, "The photo", either));
      fill(result, h("div.found", {}, image,
        emptyState("No face was found in this photo.", "Try one that shows the face larger or more from the front.")));
      return;
    }
    const errors = h("div");
    const act = oneAtATime(errors);
    const elsewhere = (face, number) => actionButton("Where else", act, () => whereElse(face, either),
      { kind: "quiet", label: `Where else face ${number} was seen` });
    const facts = h("p.fine", {}, `Threshold ${similarity(answer.threshold)}, lead of at least `,
      `${similarity(answer.margin)} over the next, model ${answer.model}`);
    fill(result, h("div.found", {}, framed(photo, faces, either),
      h("div", {}, facts, errors,
        h("ol.faces", {}, faces.map((face, index) => faceCard(face, index, answer, elsewhere(face, index + 1)))))));
  }
}

/** The answer inside an upload's status; a refusal that came late is a problem all the same. */
function unpacked(status) {
  const { status: state, code, message: detail, measures } = status ?? {};
  if (state === "failed") throw new Problem(500, { code: "upload_failed", detail }, null);
  if (state !== "refused") return status?.search ?? null;
  throw new Problem(422, { code, detail, measures }, null);
}

function refusal(error) {
  if (!(error instanceof Problem) || ![413, 415, 422].includes(error.status)) return null;
  return h("div.problem", { role: "alert" },
    h("h2", {}, titleOf(error.code)), h("p", {}, `${error.plain.replace(/^./, (c) => c.toUpperCase())}.`), measureList(error.measures));
}

/** The photo with a numbered frame around every face. */
function framed(photo, faces, signal) {
  const image = preview(photo, `The photo, ${count(faces.length, "face")} marked`, signal);
  const holder = h("div.photo", {}, image);
  image.addEventListener("load", () => {
    const { naturalWidth: width, naturalHeight: height } = image;
    holder.append(...faces.map((face, index) => {
      const [x, y, w, h_] = face.box;
      const frame = h("span.face-frame", { "aria-hidden": "true", "data-decision": face.decision },
        h("span", {}, index + 1));
      const place = { left: x / width, top: y / height, width: w / width, height: h_ / height };
      for (const [side, part] of Object.entries(place)) frame.style.setProperty(side, `${100 * part}%`);
      return frame;
    }));
  });
  return holder;
}

function faceCard(face, index, { threshold }, elsewhere) {
  const [best, next] = face.candidates;
  const lead = best && next ? `, lead ${similarity(best.similarity - next.similarity)}` : "";
  return h("li.face-card", { "data-decision": face.decision },
    h("div.face-title", {},
      h("span.face-number", { "aria-hidden": "true" }, index + 1),
      h("h2", {}, h("span.hidden-text", {}, `Face ${index + 1}: `),
        face.user ? h("a", { href: `#/people/${face.user.id}` }, nameOf(face.user))
          : DECISIONS[face.decision]),
      face.user ? h("span.badge", {}, DECISIONS.matched) : null),
    h("p.fine", {}, `Quality ${face.quality.toFixed(2)}, detector ${face.score.toFixed(2)}${lead}`),
    face.decision === "ambiguous"
      ? h("p", {}, "Two people resemble this face almost equally. Is one person enrolled twice?") : null,
    face.candidates.length
      ? h("ol.candidates", { "aria-label": "Candidates, best first" }, face.candidates.map((one) =>
        h("li", {},
          h("a", { href: `#/people/${one.user.id}` }, nameOf(one.user)),
          similarityBar(one.similarity, threshold))))
      : null,
    elsewhere);
}
