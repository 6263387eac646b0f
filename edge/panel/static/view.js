// A picture with boxes on it, in whatever room it has: a canvas for the pixels, SVG above it for the boxes.
// @ts-check
import { contain, toFrame } from "./geometry.js";
import { make, makeSvg } from "./dom.js";

/** @typedef {import("./types.js").Box} Box */
/** @typedef {{box: Box, label: string, kind: "asked" | "other" | "found" | "drawn" | "said"}} Mark */

/** Above this magnification pixels are shown as squares: an inspector wants to see what the camera saw. */
const PIXELATED = 6;

export class View {
  /** @type {ImageBitmap | null} */
  #bitmap = null;
  /** @type {Box} where in the frame the bitmap is from */
  #from = [0, 0, 1, 1];
  /** @type {Box} what is shown of the frame */
  #region = [0, 0, 1, 1];
  /** @type {Mark[]} */
  #marks = [];
  #canvas;
  #svg;

  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    this.#canvas = /** @type {HTMLCanvasElement} */ (make("canvas", "view-pixels"));
    this.#svg = makeSvg("svg", { class: "view-marks", "aria-hidden": "true" });
    root.prepend(this.#canvas, this.#svg);
    new ResizeObserver(() => this.draw()).observe(root);
  }

  /** Width by height of the room. @returns {number} */
  get aspect() {
    return Math.max(1, this.root.clientWidth) / Math.max(1, this.root.clientHeight);
  }

  /**
   * @param {ImageBitmap | null} bitmap
   * @param {Box} from
   */
  picture(bitmap, from) {
    this.#bitmap = bitmap;
    this.#from = from;
    this.root.classList.toggle("has-picture", bitmap !== null);
  }

  /**
   * @param {Box} region
   * @param {Mark[]} marks
   */
  look(region, marks) {
    this.#region = region;
    this.#marks = marks;
    this.draw();
  }

  /**
   * The frame pixel under the pointer.
   * @param {{clientX: number, clientY: number}} event
   * @returns {[number, number]}
   */
  at(event) {
    const place = this.root.getBoundingClientRect();
    const fit = contain(this.#region, place.width, place.height);
    return toFrame(this.#region, fit, event.clientX - place.left, event.clientY - place.top);
  }

  draw() {
    const width = this.root.clientWidth;
    const height = this.root.clientHeight;
    if (width === 0 || height === 0) return;
    const fit = contain(this.#region, width, height);
    this.#drawPixels(width, height, fit);
    this.#drawMarks(width, height, fit);
  }

  /**
   * @param {number} width
   * @param {number} height
   * @param {import("./geometry.js").Fit} fit
   */
  #drawPixels(width, height, fit) {
    const dense = Math.min(2, devicePixelRatio || 1);
    const canvas = this.#canvas;
    if (canvas.width !== Math.round(width * dense) || canvas.height !== Math.round(height * dense)) {
      canvas.width = Math.round(width * dense);
      canvas.height = Math.round(height * dense);
    }
    const context = canvas.getContext("2d");
    if (context === null) return;
    context.setTransform(dense, 0, 0, dense, 0, 0);
    context.clearRect(0, 0, width, height);
    const bitmap = this.#bitmap;
    if (bitmap === null) return;
    const [x1, y1, x2, y2] = this.#region;
    context.save();
    context.beginPath();
    context.rect(fit.left, fit.top, (x2 - x1) * fit.scale, (y2 - y1) * fit.scale);
    context.clip();
    const from = this.#from;
    const wide = (from[2] - from[0]) * fit.scale;
    context.imageSmoothingEnabled = wide / bitmap.width < PIXELATED;
    context.imageSmoothingQuality = "high";
    context.drawImage(
      bitmap,
      fit.left + (from[0] - x1) * fit.scale,
      fit.top + (from[1] - y1) * fit.scale,
      wide,
      (from[3] - from[1]) * fit.scale,
    );
    context.restore();
  }

  /**
   * @param {number} width
   * @param {number} height
   * @param {import("./geometry.js").Fit} fit
   */
  #drawMarks(width, height, fit) {
    this.#svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.#svg.replaceChildren(
      ...this.#marks.filter(({ box }) => meet(box, this.#region)).map(({ box, label, kind }) => {
        const x = fit.left + (box[0] - this.#region[0]) * fit.scale;
        const y = fit.top + (box[1] - this.#region[1]) * fit.scale;
        const wide = Math.max(4, (box[2] - box[0]) * fit.scale);
        const high = Math.max(4, (box[3] - box[1]) * fit.scale);
        const group = makeSvg("g", { class: `mark mark-${kind}` });
        // Twice: a dark line below a bright one can be seen on any picture.
        group.append(
          makeSvg("rect", { class: "mark-halo", x, y, width: wide, height: high }),
          makeSvg("rect", { class: "mark-line", x, y, width: wide, height: high }),
        );
        if (label) {
          const above = y > 26;
          const text = makeSvg("text", { x: Math.max(4, Math.min(x, width - 60)), y: above ? y - 8 : y + high + 20 });
          text.textContent = label;
          group.append(text);
        }
        return group;
      }),
    );
  }
}

/**
 * Whether two boxes have a pixel in common.
 * @param {Box} one
 * @param {Box} other
 * @returns {boolean}
 */
function meet(one, other) {
  return one[0] < other[2] && other[0] < one[2] && one[1] < other[3] && other[1] < one[3];
}
