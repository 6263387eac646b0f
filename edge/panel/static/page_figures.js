// Figures: how right the model was as judged, and how many parts it rejects, over time and by class.
// @ts-check
import { read } from "./api.js";
import { choice, make } from "./dom.js";
import { say } from "./i18n.js";
import { barRow, barsOverTime, figure, intervalRow, intervalsOverTime } from "./plot.js";

/** @typedef {import("./plot.js").Interval & {right: number, wrong: number, open: number}} Score */
/** @typedef {{at: number, parts: number, rejected: number, no_verdict: number, found: Record<string, number>}} Span */
/**
 * @typedef {{from: number, to: number,
 *   precision: {all: Score, missed: number, classes: (Score & {name: string})[], over_time: (Score & import("./plot.js").Time)[]},
 *   counts: {span_ms: number, spans: Span[]}, models: import("./plot.js").Event[]}} Figures
 */

const BARS = 24;
let hours = "24";

/** @returns {import("./book.js").Page} */
export function figuresPage() {
  return {
    name: "figures",
    shown: () => true,
    draw: async (root) => {
      const body = make("div", "figures");
      root.append(hoursBar(hours, (name) => {
        hours = name;
        void fill(body);
      }), body);
      await fill(body);
    },
  };
}

/** @param {HTMLElement} body */
async function fill(body) {
  /** @type {Figures} */
  const { from, to, precision, counts, models } = await read(`/api/figures?hours=${hours}`);
  const time = { from, to };
  body.replaceChildren(precisionFigure(precision, time, models), alarmsFigure(counts, time, models), classesFigure(precision), foundFigure(counts));
}

/**
 * @param {Figures["precision"]} precision
 * @param {import("./plot.js").Time} time
 * @param {import("./plot.js").Event[]} models
 */
function precisionFigure({ all, missed, over_time: points }, time, models) {
  if (all.share === null) return figure(say("precision"), say("no_answers"));
  const big = make("p", "big-number", percent(all.share));
  big.append(make("small", "", `${percent(all.low)} – ${percent(all.high)}`));
  const words = [say("of_settled", { right: all.right, all: all.right + all.wrong }), say("open_ones", { open: all.open }), say("missed_ones", { missed })];
  const label = `${say("precision")}: ${percent(all.share)}, ${percent(all.low)} – ${percent(all.high)}`;
  return figure(say("precision"), say("precision_hint"), big, make("p", "", words.join(" · ")), intervalsOverTime(points, time, models, label));
}

/** @param {Figures["precision"]} precision */
function classesFigure({ classes }) {
  const list = make("ul", "rows");
  for (const item of classes) {
    const row = make("li");
    const count = say("of_settled", { right: item.right, all: item.right + item.wrong });
    row.append(make("strong", "", item.name), intervalRow(item), make("span", "", `${percent(item.share)} · ${count}`));
    list.append(row);
  }
  return figure(`${say("precision")} · ${say("by_class")}`, classes.length === 0 ? say("no_answers") : "", list);
}

/**
 * @param {Figures["counts"]} counts
 * @param {import("./plot.js").Time} time
 * @param {import("./plot.js").Event[]} models
 */
function alarmsFigure({ spans, span_ms: span }, time, models) {
  const sums = total(spans);
  if (sums.parts === 0) return figure(say("alarms"), say("no_parts"));
  const wide = (time.to - time.from) / BARS;
  const bars = Array.from({ length: BARS }, (_, number) => {
    const from = time.from + number * wide;
    const inside = total(spans.filter(({ at }) => at * 1000 + span / 2 >= from && at * 1000 + span / 2 < from + wide));
    return { from, to: from + wide, value: inside.parts > 0 ? (100 * inside.rejected) / inside.parts : null };
  });
  const words = say("alarms_sum", { share: per100(sums.rejected, sums.parts), parts: sums.parts, none: sums.none });
  return figure(say("alarms"), words, barsOverTime(bars, time, models, `${say("alarms")}: ${words}`));
}

/** @param {Figures["counts"]} counts */
function foundFigure({ spans }) {
  const { parts } = total(spans);
  /** @type {Record<string, number>} */
  const found = {};
  for (const span of spans) for (const [name, count] of Object.entries(span.found)) found[name] = (found[name] ?? 0) + count;
  const most = Math.max(1, ...Object.values(found));
  const list = make("ul", "rows");
  for (const [name, count] of Object.entries(found).sort((one, other) => other[1] - one[1])) {
    const row = make("li");
    row.append(make("strong", "", name), barRow(count / most, "defect"), make("span", "", per100(count, parts)));
    list.append(row);
  }
  return figure(say("found_per_100"), parts === 0 ? say("no_parts") : "", list);
}

/** @param {Span[]} spans */
function total(spans) {
  return {
    parts: spans.reduce((sum, span) => sum + span.parts, 0),
    rejected: spans.reduce((sum, span) => sum + span.rejected, 0),
    none: spans.reduce((sum, span) => sum + span.no_verdict, 0),
  };
}

/**
 * @param {number} some
 * @param {number} all
 */
function per100(some, all) {
  return all > 0 ? ((100 * some) / all).toFixed(1) : "–";
}

/** @param {number | null} share */
export function percent(share) {
  return share === null ? "–" : `${Math.round(share * 100)} %`;
}

/**
 * @param {string} now
 * @param {(hours: string) => void} chosen
 * @returns {HTMLElement}
 */
export function hoursBar(now, chosen) {
  const bar = make("div", "choices small");
  const names = ["8", "24", "168", "336"];
  const buttons = names.map((name) =>
    choice(say(`hours_${name}`), "", () => {
      buttons.forEach((button, index) => button.setAttribute("aria-pressed", String(names[index] === name)));
      chosen(name);
    }),
  );
  buttons.forEach((button, index) => button.setAttribute("aria-pressed", String(names[index] === now)));
  bar.append(...buttons);
  return bar;
}
