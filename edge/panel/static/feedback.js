// From a press to a Feedback of the contract, and which revision it has. Pure but for the key and the clock given in.
// @ts-check

/** @typedef {import("./types.js").Feedback} Feedback */
/** @typedef {import("./types.js").Box} Box */
/** @typedef {{frame_id: string, detection_id?: string, missed_index?: number}} Target what is spoken of */

/**
 * A name for what a feedback speaks of; two feedbacks about the same thing have the same.
 * @param {Target} target
 * @returns {string}
 */
export function nameOf(target) {
  if (target.detection_id) return `detection ${target.detection_id}`;
  return target.missed_index ? `missed ${target.frame_id} ${target.missed_index}` : `frame ${target.frame_id}`;
}

/**
 * @param {{key: string, target: Target, gesture: string, className?: string, box?: Box, revision: number,
 *   operator: string, seconds: number, unixMs: number}} said
 * @returns {Feedback}
 */
export function feedback({ key, target, gesture, className, box, revision, operator, seconds, unixMs }) {
  /** @type {Feedback} */
  const message = {
    key,
    frame_id: target.frame_id,
    gesture: `GESTURE_${gesture}`,
    revision,
    operator,
    seconds: Math.round(Math.max(0, Math.min(3600, seconds)) * 1000) / 1000,
    client_unix_ns: `${Math.round(unixMs)}000000`,
  };
  if (target.detection_id) message.detection_id = target.detection_id;
  if (target.missed_index) message.missed_index = target.missed_index;
  if (className) message.class_name = className;
  if (box) message.box = { x1: box[0], y1: box[1], x2: box[2], y2: box[3] };
  return message;
}

/** Remembers the highest revision of each operator on each target, whoever told of it. */
export class Revisions {
  /** @type {Map<string, number>} */
  #highest = new Map();

  /**
   * @param {Target} target
   * @param {string} operator
   * @param {number} revision
   */
  heard(target, operator, revision) {
    const name = `${operator}\n${nameOf(target)}`;
    this.#highest.set(name, Math.max(revision, this.#highest.get(name) ?? 0));
  }

  /**
   * The revision the operator's next word on the target must have.
   * @param {Target} target
   * @param {string} operator
   * @returns {number}
   */
  next(target, operator) {
    return (this.#highest.get(`${operator}\n${nameOf(target)}`) ?? 0) + 1;
  }
}
