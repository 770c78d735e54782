/* Values as people read them. */

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });
const relative = new Intl.RelativeTimeFormat("en", { numeric: "always", style: "short" });

let skew = 0;

/**
 * Learn from a response's Date header how far this machine's clock is off the server's.
 *
 * @param {string|null} header whole seconds
 * @param {number} asked when the request went out, by this machine's clock: the header is of some
 *   moment since then, however slow the answer was
 */
export function noteServerTime(header, asked) {
  const server = Date.parse(header ?? "");
  if (Number.isNaN(server)) return;
  const least = server - Date.now();
  const most = server + 1000 - asked;
  // Smaller differences say nothing.
  skew = least < 1000 && most > -1000 ? 0 : (least + most) / 2;
}

/** Now, by the server's clock, in milliseconds. */
export function serverNow() {
  return Date.now() + skew;
}

/** "14:03:22", with the date before it unless it is today. */
export function moment(iso) {
  const date = new Date(iso);
  const today = day.format(date) === day.format(new Date());
  return today ? clock.format(date) : `${day.format(date)}, ${clock.format(date)}`;
}

/** "14:03:22" alone. */
export function timeOfDay(iso) {
  return clock.format(new Date(iso));
}

/** The whole date and time, for titles. */
export function exactly(iso) {
  return full.format(new Date(iso));
}

/** "23 Nov 2026". */
export function dayOf(iso) {
  return day.format(new Date(iso));
}

/** "now", "12 sec. ago", "3 days ago". */
export function ago(iso) {
  const seconds = Math.max(0, secondsSince(iso));
  if (seconds < 2) return "now";
  if (seconds < 60) return relative.format(-Math.floor(seconds), "second");
  if (seconds < 3600) return relative.format(-Math.floor(seconds / 60), "minute");
  if (seconds < 86400) return relative.format(-Math.floor(seconds / 3600), "hour");
  return relative.format(-Math.floor(seconds / 86400), "day");
}

/** "9 s", "2 min 5 s", "1 h 3 min". */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return whole % 60 ? `${minutes} min ${whole % 60} s` : `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
}

/** Seconds from then to now, by the server's clock. */
export function secondsSince(iso) {
  return (serverNow() - Date.parse(iso)) / 1000;
}

/** A cosine with two digits; a dash if there was no comparison. */
export function similarity(value) {
  return value === null || value === undefined ? "–" : value.toFixed(2).replace("-", "−");
}

/** A measured value with a useful number of digits. */
export function measured(name, value) {
  if (name === "faces") return String(value);
  return Math.abs(value) >= 10 ? value.toFixed(0) : value.toFixed(2);
}

/** "face_pixels" as "face pixels". */
export function words(name) {
  return name.replaceAll("_", " ");
}

/** "1 photo", "3 photos". */
export function count(number, one, many = `${one}s`) {
  return `${number} ${number === 1 ? one : many}`;
}

/** How a person is called: by name, else by address, else by the application's id. */
export function nameOf(user) {
  return user.full_name || user.email || user.external_id || user.id;
}

/** What else tells a person from others of this name: address and the application's id. */
export function marksOf(user) {
  return [user.email, user.external_id].filter((one) => one && one !== nameOf(user)).join(" · ");
}
