/* Enrol a person from photos, or add photos to a person. */

import { call, callWith, isAbort, outcomeOf, Problem, upload } from "../api.js";
import { fill, h, say, uniqueId } from "../dom.js";
import { count, nameOf } from "../format.js";
import { measureList, problemBox, reasonOf, titleOf } from "../parts.js";
import { photoDrop, preview } from "../photos.js";

const AT_ONCE = 2;

/** Refusals that a person may overrule. */
const DOUBTFUL = new Set(["looks_like_another_user", "unlike_own_photos"]);
const MAIL = /^[^@\s]{1,64}@[^@\s]{1,255}$/;

export async function showEnrol({ root, signal, params }) {
  const user = params[0] ? await call(`/users/${params[0]}`, { signal }) : null;
  new Enrolment(root, signal, user);
}

class Enrolment {
  #photos = [];
  #user;
  /** Whether this form makes its person, and is there for the next one afterwards. */
  #makesPeople;

  constructor(root, signal, user) {
    this.signal = signal;
    this.#user = user;
    this.#makesPeople = !user;
    this.name = textField("Name", { autocomplete: "off", maxlength: 200 });
    this.mail = textField("E-mail", { type: "email", autocomplete: "off", maxlength: 320, required: false });
    this.externalId = textField("Own id", { autocomplete: "off", maxlength: 200, required: false });
    this.fields = [this.name, this.mail, this.externalId];
    this.list = h("ul.uploads", { "aria-label": "Photos" });
    this.statusLine = h("p.status-line", { role: "status" });
    this.errors = h("div");
    this.before = h("section.before");
    this.submit = h("button.primary", { type: "submit" }, user ? "Add photos" : "Enrol");
    const fields = user ? null : h("div.fields", {}, this.fields.map(({ element }) => element));
    const drop = photoDrop({
      many: true,
      prompt: "Drop photos here, or paste them. Each must show only this person, sharp and from the front.",
      take: (files) => this.#add(files),
      signal,
    });
    const form = h("form.enrol", { novalidate: true }, fields, drop, this.list, this.errors,
      h("div.actions", {}, this.submit, this.statusLine));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#run();
    });
    this.title = h("h1", {}, user ? `Photos of ${nameOf(user)}` : "Enrol a person");
    fill(root, user ? h("p.crumb", {}, personLink(user)) : null, this.title, form, this.before);
  }

  #add(files) {
    for (const file of files) {
      const photo = new Photo(file, this.signal, () => {
        this.#photos = this.#photos.filter((one) => one !== photo);
        photo.element.remove();
        this.submit.focus();
      });
      this.#photos.push(photo);
      this.list.append(photo.element);
    }
    fill(this.errors);
    const waiting = this.#photos.filter((photo) => photo.isWaiting).length;
    say(this.statusLine, `${count(waiting, "photo")} chosen`);
  }

  async #run() {
    fill(this.errors);
    if (!this.#isComplete()) return;
    this.submit.disabled = true;
    try {
      await this.#ensureUser();
      const waiting = this.#photos.filter((photo) => photo.isWaiting);
      say(this.statusLine, `Sending ${count(waiting.length, "photo")}`);
      const queue = [...waiting];
      const work = async () => {
        for (let photo = queue.shift(); photo; photo = queue.shift()) {
          await photo.send(this.#user.id, this.signal);
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, work));
      this.#report(waiting);
      if (this.#makesPeople && this.#isDone()) this.#beginAgain();
    } catch (error) {
      if (isAbort(error)) return;
      say(this.statusLine, "");
      if (error instanceof Problem && error.code === "email_taken") await this.#offerExisting();
      else if (error instanceof Problem && error.code === "external_id_taken") this.#refuseId();
      else fill(this.errors, problemBox(error));
    } finally {
      this.submit.disabled = false;
    }
  }

  /** Whether the person is enrolled, or will be: a photo was taken, and none is left to be sent again. */
  #isDone() {
    const isTaken = this.#photos.some(({ state }) => state === "enrolled" || state === "pending");
    return isTaken && !this.#photos.some((photo) => photo.isWaiting);
  }

  #isComplete() {
    if (!this.#user) {
      const name = this.name.check((value) => value !== "", "A name is needed.");
      const mail = this.mail.check((value) => !value || MAIL.test(value), "This is no e-mail address.");
      if (!name || !mail) {
        (name ? this.mail : this.name).input.focus();
        return false;
      }
    }
    if (this.#photos.some((photo) => photo.isWaiting)) return true;
    fill(this.errors, h("p.error", { role: "alert" }, "Choose at least one photo."));
    return false;
  }

  async #ensureUser() {
    if (this.#user) return;
    const body = { full_name: this.name.value };
    if (this.mail.value) body.email = this.mail.value;
    if (this.externalId.value) body.external_id = this.externalId.value;
    this.#user = await callWith("POST", "/users", body, this.signal);
    for (const field of this.fields) field.input.readOnly = true;
    say(this.title, `Photos of ${nameOf(this.#user)}`);
    say(this.submit, "Add photos");
  }

  async #offerExisting() {
    this.mail.refuse("A person with this address already exists.");
    const query = new URLSearchParams({ q: this.mail.value, limit: 20 });
    const { items } = await call(`/users?${query}`, { signal: this.signal });
    const same = items.find((one) => one.email?.toLowerCase() === this.mail.value.toLowerCase());
    if (same) {
      fill(this.errors, h("p", {}, "To add photos instead: ",
        h("a", { href: `#/people/${same.id}/photos` }, nameOf(same))));
    }
    this.mail.input.focus();
  }

  #refuseId() {
    this.externalId.refuse("A person with this id already exists.");
    this.externalId.input.focus();
  }

  /** The form is for the next person now; what became of the last one's photos stays below it. */
  #beginAgain() {
    const photos = h("ul.uploads", { "aria-label": `Photos of ${nameOf(this.#user)}` }, [...this.list.children]);
    fill(this.before, h("h2", {}, "Enrolled: ", personLink(this.#user)), photos);
    this.#user = null;
    this.#photos = [];
    for (const field of this.fields) field.empty();
    say(this.title, "Enrol a person");
    say(this.submit, "Enrol");
  }

  #report(sent) {
    const enrolled = sent.filter((photo) => photo.state === "enrolled").length;
    const whole = this.#photos.filter((photo) => photo.state === "enrolled").length;
    if (enrolled) {
      say(this.statusLine, `${nameOf(this.#user)} is enrolled, ${enrolled} of ${count(sent.length, "photo")} accepted.`);
      this.statusLine.append(" ", personLink(this.#user, "Show"));
    } else if (sent.some((photo) => photo.state === "pending")) {
      say(this.statusLine, "The pipeline has not answered yet; the photos are not lost.");
    } else if (whole) {
      say(this.statusLine, "No further photo was accepted.");
    } else {
      say(this.statusLine, `No photo was accepted: ${nameOf(this.#user)} cannot be recognised yet. Try others.`);
      this.statusLine.append(" ", personLink(this.#user, "Show"));
    }
  }
}

function personLink(user, text = nameOf(user)) {
  return h("a", { href: `#/people/${user.id}` }, text);
}

/** A photo in the list, from chosen to enrolled or refused. */
class Photo {
  state = "chosen";

  constructor(file, signal, remove) {
    this.file = file;
    const name = file.name || "pasted photo";
    this.badge = h("span.badge", {}, "not sent");
    this.detail = h("div.detail");
    this.remove = h("button.quiet", { type: "button", "aria-label": `Remove ${name}` }, "Remove");
    this.remove.addEventListener("click", remove);
    this.element = h("li.upload", { "data-state": "chosen" },
      h("span.picture", {}, preview(file, "", signal)),
      h("div.about", {}, h("p.file", {}, name), this.badge, this.detail),
      this.remove);
  }

  /** Whether it is still to be sent, or sent again after something that was not its fault. */
  get isWaiting() {
    return this.state === "chosen" || this.state === "failed";
  }

  async send(userId, signal, force = false) {
    this.again = () => this.send(userId, signal, true);
    this.#turn("sending", "sending");
    const form = new FormData();
    form.append("user_id", userId);
    form.append("photos", this.file);
    if (force) form.append("force", "true");
    try {
      const { done, pending } = await upload("/faces", form, signal);
      const result = (done ?? pending).uploads[0];
      if (done) this.#show(result);
      else await this.#follow(result, signal);
    } catch (error) {
      if (isAbort(error)) throw error;
      const isRefusal = error instanceof Problem
        && ([413, 415, 422].includes(error.status) || DOUBTFUL.has(error.code));
      const another = error.uploads?.[0]?.another;
      if (isRefusal) this.#show({ status: "refused", code: error.code, message: error.plain, measures: error.measures, another });
      else this.#turn("failed", "not sent", h("p", {}, reasonOf(error)));
    }
  }

  async #follow(result, signal) {
    this.#turn("pending", "waiting for the pipeline");
    const outcome = await outcomeOf(result.status_url, signal);
    if (outcome) this.#show(outcome);
  }

  #show({ status, code, message, measures, another }) {
    if (status === "enrolled") this.#turn("enrolled", "enrolled", message ? h("p", {}, sentence(message)) : null, measureList(measures));
    else if (status === "failed") this.#turn("failed", "not processed", h("p", {}, sentence(message)));
    else if (DOUBTFUL.has(code)) this.#turn("refused", titleOf(code), h("p", {}, sentence(message)), resembled(another), this.#anyway());
    else this.#turn("refused", titleOf(code), h("p", {}, `${sentence(message)}`), measureList(measures));
  }

  /** Enrol it although it does not fit: only a person can know better. */
  #anyway() {
    const button = h("button", { type: "button" }, "Enrol it anyway");
    button.addEventListener("click", () => this.again());
    return button;
  }

  #turn(state, label, ...detail) {
    this.state = state;
    this.element.dataset.state = state;
    say(this.badge, label);
    fill(this.detail, detail);
    this.remove.hidden = ["sending", "pending", "enrolled"].includes(state);
  }
}

/** The other person whom a refused photo resembles, with a link. */
function resembled(another) {
  if (!another) return null;
  const name = another.user ? nameOf(another.user) : "another person";
  return h("p", {}, "It resembles ", h("a", { href: `#/people/${another.user_id}` }, name), ".");
}

function sentence(text) {
  return `${(text ?? "the photo was refused").replace(/^./, (c) => c.toUpperCase())}.`;
}

/** A labelled text field that can say what is wrong with it. */
function textField(label, attributes) {
  const id = uniqueId("field");
  const hint = uniqueId("hint");
  const input = h("input", { type: "text", id, required: true, "aria-describedby": hint, ...attributes });
  const wrong = h("p.error", { id: hint });
  const field = {
    element: h("div.field", {}, h("label", { for: id }, label), input, wrong),
    input,
    get value() {
      return input.value.trim();
    },
    refuse(text) {
      input.setAttribute("aria-invalid", "true");
      say(wrong, text);
    },
    empty() {
      input.value = "";
      input.readOnly = false;
      input.removeAttribute("aria-invalid");
      say(wrong, "");
    },
    check(isGood, text) {
      if (isGood(field.value)) {
        input.removeAttribute("aria-invalid");
        say(wrong, "");
        return true;
      }
      field.refuse(text);
      return false;
    },
  };
  return field;
}
