// Boxes and screens. Pure. A box is [x1, y1, x2, y2] in frame pixels; a region is a box of what a view shows.
// @ts-check

/** @typedef {[number, number, number, number]} Box */
/** @typedef {{scale: number, left: number, top: number}} Fit screen pixel = (frame pixel - region corner) * scale + offset */

/** Smallest side of a drawn box, frame pixels: less is a tap and not a box. */
export const SMALLEST_SIDE = 3;

/**
 * The region, whole and centred, in a view.
 * @param {Box} region
 * @param {number} width of the view, screen pixels
 * @param {number} height
 * @returns {Fit}
 */
export function contain(region, width, height) {
  const wide = region[2] - region[0];
  const high = region[3] - region[1];
  const scale = Math.min(width / wide, height / high);
  return { scale, left: (width - wide * scale) / 2, top: (height - high * scale) / 2 };
}

/**
 * The region around a box that shows it with its surroundings, in the view's shape, inside the frame.
 * @param {Box} box
 * @param {number} frameWidth
 * @param {number} frameHeight
 * @param {number} factor how many times the box's longer side the region's shorter side is
 * @param {number} aspect of the view, width / height
 * @returns {Box} whole numbers
 */
export function around(box, frameWidth, frameHeight, factor, aspect) {
  const longer = Math.max(box[2] - box[0], box[3] - box[1], 8) * factor;
  const wide = Math.min(frameWidth, aspect >= 1 ? longer * aspect : longer);
  const high = Math.min(frameHeight, aspect >= 1 ? longer : longer / aspect);
  const left = clamp((box[0] + box[2]) / 2 - wide / 2, 0, frameWidth - wide);
  const top = clamp((box[1] + box[3]) / 2 - high / 2, 0, frameHeight - high);
  const x1 = Math.floor(left);
  const y1 = Math.floor(top);
  return [x1, y1, Math.min(frameWidth, Math.max(x1 + 1, Math.ceil(left + wide))), Math.min(frameHeight, Math.max(y1 + 1, Math.ceil(top + high)))];
}

/**
 * The frame pixel under a point of the view, cut to the region.
 * @param {Box} region
 * @param {Fit} fit
 * @param {number} x screen pixels from the view's corner
 * @param {number} y
 * @returns {[number, number]}
 */
export function toFrame(region, fit, x, y) {
  return [
    clamp((x - fit.left) / fit.scale + region[0], region[0], region[2]),
    clamp((y - fit.top) / fit.scale + region[1], region[1], region[3]),
  ];
}

/**
 * The box between two corners in any order, or null where it is too small to be meant.
 * @param {[number, number]} one
 * @param {[number, number]} other
 * @returns {Box | null}
 */
export function boxBetween(one, other) {
  /** @type {Box} */
  const box = [Math.min(one[0], other[0]), Math.min(one[1], other[1]), Math.max(one[0], other[0]), Math.max(one[1], other[1])];
  return box[2] - box[0] >= SMALLEST_SIDE && box[3] - box[1] >= SMALLEST_SIDE ? box : null;
}

/**
 * A box moved, or grown at its far corner, inside a frame: for those who draw by keyboard.
 * @param {Box} box
 * @param {number} dx frame pixels
 * @param {number} dy
 * @param {boolean} grow
 * @param {number} frameWidth
 * @param {number} frameHeight
 * @returns {Box}
 */
export function nudged(box, dx, dy, grow, frameWidth, frameHeight) {
  if (grow) {
    return [box[0], box[1], clamp(box[2] + dx, box[0] + SMALLEST_SIDE, frameWidth), clamp(box[3] + dy, box[1] + SMALLEST_SIDE, frameHeight)];
  }
  const x = clamp(dx, -box[0], frameWidth - box[2]);
  const y = clamp(dy, -box[1], frameHeight - box[3]);
  return [box[0] + x, box[1] + y, box[2] + x, box[3] + y];
}

/**
 * @param {number} value
 * @param {number} low
 * @param {number} high
 * @returns {number}
 */
export function clamp(value, low, high) {
  return Math.max(low, Math.min(high, value));
}
