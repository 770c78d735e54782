/* What may be wrong with the enrolled people and their photos, with what can be done about it. */

import { actionButton, oneAtATime } from "../actions.js";
import { call } from "../api.js";
import { correct } from "../corrections.js";
import { fill, h } from "../dom.js";
import { count, nameOf, similarity } from "../format.js";
import { emptyState } from "../parts.js";
import { picture } from "../pictures.js";

export async function showCheck(view) {
  const { root, signal } = view;
  const found = await call("/people/check", { signal });
  const errors = h("div");
  const act = oneAtATime(errors);
  const again = async () => {
    await showCheck(view);
    root.focus({ preventScroll: true }); // the button that had the focus is gone
  };
  const takeOut = (user, face, label) => actionButton("Take out", act, () => correct(
    { kind: "photo_out", user_id: user.id, face_id: face },
    `The photo of ${nameOf(user)} does not count any more`, again, signal), { kind: "quiet", label });
  const number = found.alike.length + found.outliers.length + found.near_duplicates.length;
  fill(root,
    h("p.crumb", {}, h("a", { href: "#/people" }, "People")),
    h("div.bar-top", {}, h("h1", {}, "Check of people"),
      h("p.fine", {}, `${count(found.photos, "photo")} of ${count(found.users, "person", "people")} compared`)),
    errors,
    number ? null : emptyState("Nothing was found.", "No photo looks wrong, and no two people look alike."),
    section("alike", "People who look alike", "One person under two names, or relatives.",
      found.alike.map((one) => alike(one, act, again, signal))),
    section("outliers", "Photos unlike the person’s others", "Perhaps they show someone else.",
      found.outliers.map(({ user, face_id: face, similarity: value }) => h("li", {},
        photo(face, user), about(user, `similarity to the other photos ${similarity(value)}`),
        takeOut(user, face, `Take out this photo of ${nameOf(user)}`)))),
    section("near-duplicates", "Photos that are nearly the same", "One of them adds nothing.",
      found.near_duplicates.map((one) => h("li", {},
        photo(one.face_id, one.user), photo(one.other_face_id, one.user),
        about(one.user, `similarity ${similarity(one.similarity)}`),
        takeOut(one.user, one.other_face_id, `Take out the second of these photos of ${nameOf(one.user)}`)))));
}

function section(id, title, meaning, lines) {
  if (!lines.length) return null;
  return h("section.check", { "aria-labelledby": id },
    h("div.bar-top", {}, h("h2", { id }, title), h("p.fine", {}, meaning)), h("ul.checked", {}, lines));
}

function photo(face, user) {
  return picture(`/faces/${face}/crop`, `Photo of ${nameOf(user)}`);
}

function about(user, text) {
  return h("div", {}, h("p.who-line", {}, link(user)), h("p.fine", {}, text));
}

function link(user) {
  return h("a", { href: `#/people/${user.id}` }, nameOf(user));
}

function alike({ user, other_user: other, similarity: value }, act, again, signal) {
  const merge = actionButton("The same person", act, () => correct(
    { kind: "merge", user_id: user.id, other_user_id: other.id },
    `${nameOf(other)} is ${nameOf(user)} now`, again, signal),
  { kind: "quiet", label: `${nameOf(user)} and ${nameOf(other)} are the same person` });
  return h("li", {},
    h("div", {}, h("p.who-line", {}, link(user), " and ", link(other)),
      h("p.fine", {}, `similarity ${similarity(value)}`)),
    merge);
}
