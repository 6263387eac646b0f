// What waits to be judged, as this page sees it. Pure: told what the station says, asked what is next.
// The item under the operator's finger is never exchanged for another one; only what comes after it is.
// @ts-check

/** @typedef {import("./types.js").Item} Item */

/** How many are asked for at once. */
const AHEAD = 30;

export class Queue {
  /** @type {Item | null} */
  current = null;
  /** @type {Item[]} */
  upcoming = [];
  /** Undecided detections on the station. */
  waiting = 0;
  /** @type {Set<string>} */
  #skipped = new Set();

  /** How many to ask the station for: skipped ones come along and must not hide the rest. @returns {number} */
  get wanted() {
    return Math.min(100, AHEAD + this.#skipped.size);
  }

  /**
   * The station's present list.
   * @param {Item[]} items newest first
   * @param {number} waiting
   * @param {(item: Item) => boolean} answered whether an answer of this page is on its way or arrived meanwhile
   * @returns {boolean} whether the current one was answered elsewhere
   */
  take(items, waiting, answered) {
    const open = items.filter((item) => !answered(item));
    this.waiting = Math.max(0, waiting - (items.length - open.length));
    const current = this.current;
    const gone = current !== null && waiting <= items.length && !items.some((item) => item.detection_id === current.detection_id);
    const rest = open.filter((item) => item.detection_id !== current?.detection_id);
    this.upcoming = [
      ...rest.filter((item) => !this.#skipped.has(item.detection_id)),
      ...rest.filter((item) => this.#skipped.has(item.detection_id)),
    ];
    if (current === null) this.next();
    return gone && !answered(current);
  }

  /** Goes on to the next one, or none. */
  next() {
    this.current = this.upcoming.shift() ?? null;
  }

  /** The current one was answered. */
  done() {
    this.waiting = Math.max(0, this.waiting - 1);
    this.next();
  }

  /** Puts the current one behind all others. */
  skip() {
    if (this.current === null) return;
    this.#skipped.delete(this.current.detection_id);
    this.#skipped.add(this.current.detection_id);
    this.upcoming.push(this.current);
    this.next();
  }

  /**
   * The whole frame was answered: none of its detections is asked any more.
   * @param {string} frameId
   */
  dropFrame(frameId) {
    const before = this.upcoming.length;
    this.upcoming = this.upcoming.filter((item) => item.frame.frame_id !== frameId);
    this.waiting = Math.max(0, this.waiting - (before - this.upcoming.length));
    if (this.current?.frame.frame_id === frameId) this.done();
  }

  /**
   * An answer was taken back: its detection is asked again, now.
   * @param {Item} item
   */
  again(item) {
    if (this.current !== null) this.upcoming.unshift(this.current);
    this.upcoming = this.upcoming.filter((other) => other.detection_id !== item.detection_id);
    this.current = item;
    this.waiting += 1;
  }
}
