/* Server-sent events over fetch: EventSource cannot send an API key. */

/** Takes a stream's text as it comes, gives whole events. Format: WHATWG HTML, 9.2.6. */
export class EventParser {
  #rest = "";
  #type = "";
  #data = [];
  #id = "";

  /** @returns {{type: string, data: string, id: string}[]} events that are now complete */
  feed(text) {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    return lines.map((line) => this.#take(line)).filter((event) => event !== null);
  }

  #take(line) {
    if (line === "") {
      const event = { type: this.#type || "message", data: this.#data.join("\n"), id: this.#id };
      const complete = this.#data.length > 0;
      this.#type = "";
      this.#data = [];
      return complete ? event : null;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.#type = value;
    else if (field === "data") this.#data.push(value);
    else if (field === "id") this.#id = value;
    return null;
  }
}
