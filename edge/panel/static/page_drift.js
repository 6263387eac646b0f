// Changes: in words, what is different from when the model began to serve, and what to look at.
// @ts-check
import { read, write } from "./api.js";
import { icon, make } from "./dom.js";
import { say } from "./i18n.js";
import { onHold } from "./hold.js";

/** @typedef {{kind: string, before: number, now: number}} Finding */
/** @typedef {{name: string, before: number, now: number}} Feature */
/** @typedef {{name: string, state: string, since_ms: number, progress: number, findings: Finding[], features: Feature[]}} Camera */

/** @type {Readonly<Record<string, string>>} */
const ADVICE = { darker: "light", brighter: "light", contrast: "light", uneven: "light", sharper: "light", unlike_training: "light", unsharp: "lens", moved: "mount", more_alarms: "judge", less_sure: "judge" };
const SHARES = new Set(["more_alarms", "less_sure", "moved"]);

/**
 * @param {import("./types.js").Setup} setup
 * @returns {import("./book.js").Page}
 */
export function driftPage(setup) {
  const may = !setup.login || setup.who?.role === "engineer" || setup.who?.role === "admin";
  /** @param {HTMLElement} root @param {{cameras: Camera[]}} answer */
  const show = (root, { cameras }) => {
    root.replaceChildren(...(cameras.length > 0 ? cameras.map((camera) => card(camera, may, (next) => show(root, next))) : [make("p", "hint", say("drift_none"))]));
  };
  return { name: "drift", shown: () => true, draw: async (root) => show(root, await read("/api/drift")) };
}

/**
 * @param {Camera} camera
 * @param {boolean} may
 * @param {(answer: {cameras: Camera[]}) => void} changed
 */
function card(camera, may, changed) {
  const box = make("section", `figure drift-${camera.state}`);
  const head = make("p", "drift-head");
  head.append(icon(camera.state === "same" ? "pass" : camera.state === "changed" ? "warn" : "none"), make("strong", "", camera.name));
  head.append(make("span", "", say(`drift_${camera.state}`, { progress: Math.round(camera.progress * 100) })));
  const when = new Date(camera.since_ms).toLocaleString(document.documentElement.lang, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
  box.append(head, make("p", "hint", say("drift_since", { when })));
  const advice = new Set();
  for (const { kind, before, now } of camera.findings) {
    const row = make("p", "drift-finding");
    row.append(icon("warn"), make("strong", "", say(`find_${kind}`)), make("span", "", change(kind, before, now)));
    box.append(row);
    advice.add(ADVICE[kind] ?? "judge");
  }
  for (const name of advice) box.append(make("p", "drift-advice", say(`do_${name}`)));
  if (camera.features.length > 0) {
    const list = make("ul", "rows");
    for (const { name, before, now } of camera.features) {
      const row = make("li");
      row.append(make("strong", "", say(`feature_${name}`)), make("span", "", number(before)), make("span", "", `→ ${number(now)}`));
      list.append(row);
    }
    box.append(list);
  }
  if (may && camera.state !== "learning") {
    const button = /** @type {HTMLButtonElement} */ (make("button", "act wide hold"));
    button.type = "button";
    button.append(make("span", "", say("drift_anew")));
    onHold(button, () => void write("/api/drift/reference", { camera: camera.name }).then(changed).catch(() => {}));
    box.append(button);
  }
  return box;
}

/**
 * @param {string} kind
 * @param {number} before
 * @param {number} now
 */
function change(kind, before, now) {
  if (kind === "moved") return `${(now * 100).toFixed(1)} %`;
  if (SHARES.has(kind)) return `${Math.round(before * 100)} % → ${Math.round(now * 100)} %`;
  return `${number(before)} → ${number(now)}`;
}

/** @param {number} value */
function number(value) {
  return String(Math.round(value * 1000) / 10);
}
