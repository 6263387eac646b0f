// The station's HTTP interface. Every call has a limit in time, because a tablet's network may swallow a request.
// @ts-check

/** @typedef {import("./types.js").Ack} Ack */
/** @typedef {import("./types.js").Feedback} Feedback */

const READ_MS = 15_000;
const ACK_MS = 15_000;

/** A refusal in the contract's words. */
export class Refused extends Error {
  /**
   * @param {string} reason
   * @param {string} message
   * @param {Readonly<Record<string, unknown>>} details
   */
  constructor(reason, message, details) {
    super(message);
    this.reason = reason;
    this.details = details;
  }
}

/**
 * @param {string} path
 * @returns {Promise<any>}
 */
export async function read(path) {
  return answer(await fetch(path, { signal: AbortSignal.timeout(READ_MS) }));
}

/**
 * @param {string} path
 * @param {unknown} body
 * @param {number} [patience] milliseconds
 * @returns {Promise<any>}
 */
export async function write(path, body, patience = ACK_MS) {
  return answer(await post(path, body, patience));
}

/**
 * Sends a feedback. Resolves with the station's word, also where it refuses; rejects where there is none.
 * @param {Feedback} feedback
 * @returns {Promise<Ack>}
 */
export async function submit(feedback) {
  const response = await post("/api/feedback", feedback);
  /** @type {Ack} */
  const ack = await response.json();
  if (typeof ack.code !== "number" || (response.ok && !ack.log_sequence)) throw new Error("not an acknowledgement");
  return ack;
}

/**
 * @param {string} frameId
 * @param {number} side longest side, pixels
 * @param {import("./types.js").Box | null} box null: the whole frame
 * @returns {Promise<ImageBitmap>}
 */
export async function picture(frameId, side, box) {
  const part = box === null ? "" : `&box=${box.join(",")}`;
  const path = `/api/frames/${encodeURIComponent(frameId)}/picture?side=${side}${part}`;
  const response = await fetch(path, { signal: AbortSignal.timeout(READ_MS) });
  if (!response.ok) await answer(response);
  return createImageBitmap(await response.blob());
}

/**
 * @param {string} path
 * @param {unknown} body
 * @param {number} [patience]
 * @returns {Promise<Response>}
 */
function post(path, body, patience = ACK_MS) {
  return fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(patience),
  });
}

/**
 * @param {Response} response
 * @returns {Promise<any>}
 */
async function answer(response) {
  const document = await response.json();
  if (!response.ok) throw new Refused(String(document.reason ?? response.status), String(document.message ?? ""), document);
  return document;
}
