// Plots as SVG, drawn for the room there is. A shape or a number stands beside every colour.
// @ts-check
import { make, makeSvg } from "./dom.js";

/** @typedef {{share: number | null, low: number | null, high: number | null}} Interval */
/** @typedef {{from: number, to: number}} Time milliseconds since the epoch */
/** @typedef {{at: number, name: string}} Event */

const LEFT = 56;
const BOTTOM = 30;
const TOP = 14;
const RIGHT = 12;

/**
 * Shares with intervals over time: a dot, and a line as long as the doubt.
 * @param {(Time & Interval)[]} points
 * @param {Time} time
 * @param {readonly Event[]} events drawn as upright lines
 * @param {string} label
 * @returns {SVGElement}
 */
export function intervalsOverTime(points, time, events, label) {
  const { svg, x, y } = frame(time, 1, (value) => `${Math.round(value * 100)} %`, events, label);
  for (const point of points) {
    if (point.share === null || point.low === null || point.high === null) continue;
    const middle = x((point.from + point.to) / 2);
    svg.append(
      makeSvg("line", { class: "plot-doubt", x1: middle, x2: middle, y1: y(point.low), y2: y(point.high) }),
      makeSvg("circle", { class: "plot-dot", cx: middle, cy: y(point.share), r: 7 }),
    );
  }
  return svg;
}

/**
 * Numbers over time as bars; nothing where there is none.
 * @param {(Time & {value: number | null})[]} bars
 * @param {Time} time
 * @param {readonly Event[]} events
 * @param {string} label
 * @returns {SVGElement}
 */
export function barsOverTime(bars, time, events, label) {
  const most = niceTop(Math.max(1, ...bars.map((bar) => bar.value ?? 0)));
  const { svg, x, y } = frame(time, most, (value) => String(Math.round(value * 10) / 10), events, label);
  for (const bar of bars) {
    if (bar.value === null) continue;
    const left = x(bar.from) + 1;
    svg.append(makeSvg("rect", { class: "plot-bar", x: left, width: Math.max(2, x(bar.to) - left - 1), y: y(bar.value), height: Math.max(1, y(0) - y(bar.value)) }));
  }
  return svg;
}

/**
 * One share with its interval, lying: for a row of a list.
 * @param {Interval} interval
 * @returns {SVGElement}
 */
export function intervalRow({ share, low, high }) {
  const svg = makeSvg("svg", { class: "plot-row", viewBox: "0 0 100 24", preserveAspectRatio: "none", "aria-hidden": "true" });
  svg.append(makeSvg("rect", { class: "plot-track", x: 0, y: 9, width: 100, height: 6 }));
  if (share !== null && low !== null && high !== null) {
    svg.append(
      makeSvg("rect", { class: "plot-doubt-bar", x: low * 100, y: 6, width: Math.max(0.5, (high - low) * 100), height: 12 }),
      makeSvg("rect", { class: "plot-mark", x: Math.min(99, Math.max(0, share * 100 - 0.5)), y: 1, width: 1, height: 22 }),
    );
  }
  return svg;
}

/**
 * A number beside the largest of its kind.
 * @param {number} share 0 to 1
 * @param {string} kind
 * @returns {SVGElement}
 */
export function barRow(share, kind) {
  return splitRow([{ kind, value: share }, { kind: "rest", value: Math.max(0, 1 - share) }]);
}

/**
 * Parts of a whole in one bar.
 * @param {readonly {kind: string, value: number}[]} parts
 * @returns {SVGElement}
 */
export function splitRow(parts) {
  const svg = makeSvg("svg", { class: "plot-row", viewBox: "0 0 100 24", preserveAspectRatio: "none", "aria-hidden": "true" });
  const all = parts.reduce((sum, part) => sum + part.value, 0);
  let left = 0;
  for (const { kind, value } of parts) {
    const wide = all > 0 ? (value / all) * 100 : 0;
    if (wide > 0) svg.append(makeSvg("rect", { class: `plot-part-${kind}`, x: left, y: 4, width: Math.max(0, wide - 0.6), height: 16 }));
    left += wide;
  }
  return svg;
}

/**
 * A heading, what it says in words, and the plot.
 * @param {string} title
 * @param {string} text
 * @param {...(Node | null)} content
 * @returns {HTMLElement}
 */
export function figure(title, text, ...content) {
  const box = make("section", "figure");
  box.append(make("h3", "", title), ...(text ? [make("p", "hint", text)] : []));
  for (const item of content) if (item !== null) box.append(item);
  return box;
}

/**
 * @param {Time} time
 * @param {number} most
 * @param {(value: number) => string} say
 * @param {readonly Event[]} events
 * @param {string} label
 */
function frame({ from, to }, most, say, events, label) {
  const [width, height] = [Math.max(300, Math.min(600, innerWidth - 60)), 230];
  const svg = makeSvg("svg", { class: "plot", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  /** @param {number} at */
  const x = (at) => LEFT + ((at - from) / (to - from)) * (width - LEFT - RIGHT);
  /** @param {number} value */
  const y = (value) => height - BOTTOM - (value / most) * (height - BOTTOM - TOP);
  for (const step of [0, 0.5, 1]) {
    const at = y(step * most);
    const text = makeSvg("text", { class: "plot-text", x: LEFT - 8, y: at + 5, "text-anchor": "end" });
    text.textContent = say(step * most);
    svg.append(makeSvg("line", { class: "plot-grid", x1: LEFT, x2: width - RIGHT, y1: at, y2: at }), text);
  }
  const days = to - from > 36 * 3600_000;
  const ticks = width < 500 ? 2 : 4;
  for (let tick = 0; tick <= ticks; tick += 1) {
    const at = from + ((to - from) * tick) / ticks;
    const anchor = tick === 0 ? "start" : tick === ticks ? "end" : "middle";
    const text = makeSvg("text", { class: "plot-text", x: x(at), y: height - 8, "text-anchor": anchor });
    const when = new Date(at);
    const language = document.documentElement.lang;
    text.textContent = days
      ? when.toLocaleDateString(language, { day: "numeric", month: "short" })
      : when.toLocaleTimeString(language, { hour: "2-digit", minute: "2-digit" });
    svg.append(text);
  }
  for (const event of events.filter(({ at }) => at >= from && at <= to)) {
    const place = x(event.at);
    const text = makeSvg("text", { class: "plot-text", x: Math.min(place + 6, width - 90), y: TOP + 8 });
    text.textContent = event.name;
    svg.append(makeSvg("line", { class: "plot-event", x1: place, x2: place, y1: TOP, y2: height - BOTTOM }), text);
  }
  return { svg, x, y };
}

/**
 * The next of 1, 2, 5, 10, 20, ...
 * @param {number} value
 * @returns {number}
 */
export function niceTop(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  for (const step of [1, 2, 5, 10]) if (value <= step * power * 1.0001) return step * power;
  return 10 * power;
}
