// Pictures of kept frames, fetched once and a step ahead.
// @ts-check
import { picture } from "./api.js";

/** @typedef {import("./types.js").Box} Box */

const REMEMBERED = 16;

/** @type {Map<string, Promise<ImageBitmap>>} */
const known = new Map();

/**
 * @param {string} frameId
 * @param {number} side
 * @param {Box | null} box
 * @returns {Promise<ImageBitmap>}
 */
export function load(frameId, side, box) {
  const name = `${frameId} ${side} ${box?.join(",") ?? ""}`;
  const found = known.get(name);
  if (found !== undefined) return found;
  const coming = picture(frameId, side, box);
  known.set(name, coming);
  coming.catch(() => known.delete(name));
  for (const old of known.keys()) {
    if (known.size <= REMEMBERED) break;
    known.delete(old);
  }
  return coming;
}

/**
 * The size to ask for so that a view is sharp, in steps so that a resize does not fetch everything anew.
 * @param {HTMLElement} root
 * @returns {number}
 */
export function sideFor(root) {
  const dense = Math.min(2, devicePixelRatio || 1);
  const wanted = Math.max(root.clientWidth, root.clientHeight, 64) * dense;
  return Math.min(2048, Math.ceil(wanted / 256) * 256);
}
