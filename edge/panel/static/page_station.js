// The station's state: cameras, log, disk, load. What is wrong stands first.
// @ts-check
import { read } from "./api.js";
import { icon, make } from "./dom.js";
import { say } from "./i18n.js";
import { barRow, figure } from "./plot.js";

/**
 * @typedef {{log: {state: string, trouble: string, waiting: number, lost: number, kept: number, said: number,
 *   image_bytes: number, budget_bytes: number, free_bytes: number}, load: number, pages: number,
 *   status: import("./types.js").Status}} StationAnswer
 */

/** @type {Readonly<Record<string, string>>} */
const LEVELS = { running: "good", ended: "warn", lost: "bad", ok: "good", full: "warn", fault: "bad" };

/** @returns {import("./book.js").Page} */
export function stationPage() {
  return {
    name: "station",
    shown: () => true,
    draw: async (root) => {
      /** @type {StationAnswer} */
      const { log, load, pages, status } = await read("/api/station");
      const cameras = make("ul", "rows");
      for (const { name, state, message, last } of status.cameras) {
        const row = make("li", `health-${LEVELS[state] ?? "bad"}`);
        const title = make("strong");
        title.append(icon(LEVELS[state] ?? "bad"), make("span", "", name));
        const time = last === null ? "–" : `${(last.total_us / 1000).toFixed(1)} ms`;
        row.append(title, make("span", "", say(state === "lost" ? "camera_lost" : state)), make("span", "", [`${say("station_time")} ${time}`, message].filter(Boolean).join(" · ")));
        cameras.append(row);
      }
      const disk = log.budget_bytes > 0 ? log.image_bytes / log.budget_bytes : 0;
      const state = make("p", `drift-head health-${LEVELS[log.state] ?? "bad"}`);
      state.append(icon(LEVELS[log.state] ?? "bad"), make("strong", "", say(`log_${log.state}`)), make("span", "", log.trouble));
      root.append(
        figure(say("station_cameras"), "", cameras.childElementCount > 0 ? cameras : make("p", "hint", say("no_camera"))),
        figure(
          say("station_log"),
          "",
          state,
          barRow(Math.min(1, disk), disk > 0.9 ? "defect" : "healthy"),
          make("p", "", say("station_disk", { used: bytes(log.image_bytes), budget: bytes(log.budget_bytes), free: bytes(log.free_bytes) })),
          make("p", "", say("station_counts", { kept: log.kept, said: log.said, waiting: log.waiting, lost: log.lost })),
        ),
        figure(
          status.station,
          "",
          make("p", "", say("counts", { pass: status.counts.PASS, reject: status.counts.REJECT, none: status.counts.NO_VERDICT })),
          make("p", "", `${say("station_load", { load: Math.round(load * 100) })} · ${say("station_pages", { pages })}`),
        ),
      );
    },
  };
}

/** @param {number} value */
function bytes(value) {
  return value >= 1e9 ? `${(value / 1e9).toFixed(1)} GB` : `${Math.round(value / 1e6)} MB`;
}
