// The line that says what became of an answer. "Saved" stands here only after the station's acknowledgement.
// @ts-check
import { byId, icon, make } from "./dom.js";
import { say } from "./i18n.js";

/** @typedef {"idle" | "saving" | "saved" | "waiting" | "refused" | "note"} Kind */

/** @type {Readonly<Record<Kind, string>>} */
const ICONS = { idle: "", saving: "none", saved: "pass", waiting: "warn", refused: "bad", note: "good" };

export class Told {
  /** @type {{kind: Kind, text: string}} */
  #last = { kind: "idle", text: "" };
  /** @type {{count: number, trouble: string}} */
  #waiting = { count: 0, trouble: "" };

  /** @param {string} id */
  constructor(id) {
    this.root = byId(id);
  }

  /**
   * @param {Kind} kind
   * @param {string} text
   */
  tell(kind, text) {
    this.#last = { kind, text };
    this.#show();
  }

  /**
   * Answers without an acknowledgement stand above all but a refusal.
   * @param {number} count
   * @param {string} trouble in words; "" while it is only a matter of moments
   */
  waiting(count, trouble) {
    this.#waiting = { count, trouble };
    this.#show();
  }

  #show() {
    let { kind, text } = this.#last;
    const { count, trouble } = this.#waiting;
    if (count > 0 && trouble && kind !== "refused") {
      kind = "waiting";
      text = `${trouble} · ${say("not_saved", { count })}`;
    }
    this.root.dataset.kind = kind;
    this.root.replaceChildren(...(ICONS[kind] ? [icon(ICONS[kind])] : []), make("span", "", text));
  }
}
