// What this page says to the station: gives each word its key and revision, hands it to the outbox, and remembers it
// for undo. Undo is a word of its own (RETRACT with a higher revision); nothing is ever unsaid by forgetting it.
// @ts-check
import { feedback, nameOf, Revisions } from "./feedback.js";
import { keepHere, keptHere, newKey } from "./store.js";

/** @typedef {import("./types.js").Item} Item */
/** @typedef {import("./types.js").Ack} Ack */
/** @typedef {import("./types.js").Box} Box */
/** @typedef {import("./feedback.js").Target} Target */
/** @typedef {{key: string, target: Target, operator: string, revision: number, label: string, item: Item | null}} Spoken */
/** @typedef {{className?: string, box?: Box, seconds: number, label: string, item: Item | null}} Details */

const REMEMBERED = 30;
const HISTORY = "history";
/** An acknowledgement takes milliseconds. After this the operator goes on, and the page says what is not saved yet. */
const PATIENCE_MS = 500;
const WHOLE = new Set(["GESTURE_FRAME_HEALTHY", "GESTURE_FRAME_COMPLETE"]);

export class Speaker extends EventTarget {
  #outbox;
  #revisions = new Revisions();
  /** @type {Map<string, number>} highest missed index by frame and operator */
  #missed = new Map();
  /** @type {Spoken[]} */
  #history = [];
  /** @type {Map<string, {at: number, stands: boolean}>} what was acknowledged, by target */
  #settled = new Map();
  /** Who judges. */
  operator = "";
  /** By a login: then nobody takes back what another has said. */
  proven = false;
  /** Whether this person may judge at all. */
  may = true;

  /** @param {import("./outbox.js").Outbox} outbox */
  constructor(outbox) {
    super();
    this.#outbox = outbox;
    for (const waiting of outbox.list()) this.#heardOf(waiting);
    try {
      this.#history = JSON.parse(keptHere(HISTORY) ?? "[]");
    } catch {
      this.#history = [];
    }
    for (const { target, operator, revision } of this.#history) this.#revisions.heard(target, operator, revision);
    outbox.addEventListener("settled", (event) => {
      const { feedback: said, ack } = /** @type {CustomEvent} */ (event).detail;
      if (ack.code === 0) {
        this.#settled.set(nameOf(said), { at: performance.now(), stands: said.gesture !== "GESTURE_RETRACT" });
      } else {
        this.#history = this.#history.filter((spoken) => spoken.key !== said.key);
        this.#remember();
      }
    });
  }

  /** Where the last word stands that may be taken back; -1: nowhere. */
  #mine() {
    return this.#history.findLastIndex((spoken) => !this.proven || spoken.operator === this.operator);
  }

  get canUndo() {
    return this.may && this.#mine() >= 0;
  }

  /**
   * What the station says was said already.
   * @param {Item} item
   */
  heardItem(item) {
    const frame = { frame_id: item.frame.frame_id };
    for (const [name, revision] of Object.entries(item.revisions)) {
      this.#revisions.heard({ ...frame, detection_id: item.detection_id }, name, revision);
    }
    for (const [name, revision] of Object.entries(item.frame_revisions)) this.#revisions.heard(frame, name, revision);
    for (const [name, index] of Object.entries(item.missed)) this.#heardMissed(frame.frame_id, name, index);
  }

  /** @param {import("./types.js").FrameRecord} record */
  heardRecord(record) {
    for (const said of record.events) this.#heardOf({ ...said, frame_id: record.frame.frame_id });
  }

  /**
   * Says something.
   * @param {Target} target
   * @param {string} gesture
   * @param {Details} details
   * @returns {Promise<Ack>} the station's word, as late as that may be
   */
  say(target, gesture, details) {
    const message = this.#message(target, gesture, this.operator, details);
    const { key, operator, revision } = message;
    this.#history.push({ key, target, operator, revision, label: details.label, item: details.item });
    this.#remember();
    return this.#outbox.add(message);
  }

  /**
   * A defect nobody found.
   * @param {string} frameId
   * @param {Details & {className: string, box: Box}} details
   * @returns {Promise<Ack>}
   */
  sayMissed(frameId, details) {
    const name = `${frameId} ${this.operator}`;
    const index = (this.#missed.get(name) ?? 0) + 1;
    this.#missed.set(name, index);
    return this.say({ frame_id: frameId, missed_index: index }, "MISSED", details);
  }

  /**
   * Takes back what was said last.
   * @returns {{spoken: Spoken, word: Promise<Ack>} | null}
   */
  undo() {
    const place = this.#mine();
    if (place < 0) return null;
    const [spoken] = this.#history.splice(place, 1);
    this.#remember();
    const details = { seconds: 0, label: spoken.label, item: null };
    return { spoken, word: this.#outbox.add(this.#message(spoken.target, "RETRACT", spoken.operator, details)) };
  }

  /**
   * The station's word if it comes soon; null where it does not, or where nothing goes through at present.
   * @param {Promise<Ack>} word
   * @returns {Promise<Ack | null>}
   */
  soon(word) {
    return new Promise((resolve) => {
      const stuck = () => {
        if (this.#outbox.trouble) resolve(null);
      };
      this.#outbox.addEventListener("change", stuck);
      setTimeout(() => resolve(null), PATIENCE_MS);
      void word.then(resolve).finally(() => this.#outbox.removeEventListener("change", stuck));
      stuck();
    });
  }

  /**
   * Whether this page has answered, and the list asked for at `since` cannot know it yet.
   * @param {Item} item
   * @param {number} since performance.now() when the list was asked for
   * @returns {boolean}
   */
  answered(item, since) {
    const own = { frame_id: item.frame.frame_id, detection_id: item.detection_id };
    const frame = { frame_id: item.frame.frame_id };
    for (const target of [own, frame]) {
      const name = nameOf(target);
      const going = this.#outbox.list().filter((message) => nameOf(message) === name);
      if (going.length > 0) {
        const last = going.reduce((one, other) => (other.revision > one.revision ? other : one));
        if (target === own ? last.gesture !== "GESTURE_RETRACT" : WHOLE.has(last.gesture)) return true;
      }
      const settled = this.#settled.get(name);
      if (settled !== undefined && settled.stands && settled.at > since) return true;
    }
    return false;
  }

  /**
   * @param {Target} target
   * @param {string} gesture
   * @param {string} operator
   * @param {Details} details
   * @returns {import("./types.js").Feedback}
   */
  #message(target, gesture, operator, { className, box, seconds }) {
    const revision = this.#revisions.next(target, operator);
    this.#revisions.heard(target, operator, revision);
    return feedback({ key: newKey(), target, gesture, className, box, revision, operator, seconds, unixMs: Date.now() });
  }

  /** @param {Target & {operator: string, revision: number}} said */
  #heardOf(said) {
    this.#revisions.heard(said, said.operator, said.revision);
    if (said.missed_index) this.#heardMissed(said.frame_id, said.operator, said.missed_index);
  }

  /**
   * @param {string} frameId
   * @param {string} operator
   * @param {number} index
   */
  #heardMissed(frameId, operator, index) {
    const name = `${frameId} ${operator}`;
    this.#missed.set(name, Math.max(index, this.#missed.get(name) ?? 0));
  }

  #remember() {
    this.#history = this.#history.slice(-REMEMBERED);
    keepHere(HISTORY, JSON.stringify(this.#history));
    this.dispatchEvent(new Event("change"));
  }
}
