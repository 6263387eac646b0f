// The line at the foot: connection, model, cameras, log, answers not saved yet, operator. A shape beside every colour.
// @ts-check
import { byId, icon, make } from "./dom.js";
import { say } from "./i18n.js";
import { share } from "./models.js";

/** @typedef {"good" | "warn" | "bad"} Level */
/** @typedef {{level: Level, name: string, text: string, detail?: string}} Line */

/**
 * @param {import("./types.js").Status | null} status
 * @param {{connected: boolean, unsaved: number, durable: boolean, operator: string}} page
 */
export function showHealth(status, { connected, unsaved, durable, operator }) {
  /** @type {Line[]} */
  const lines = [{ level: connected ? "good" : "bad", name: "connection", text: say(connected ? "connected" : "lost"), detail: status?.station }];
  if (status !== null) {
    lines.push(modelLine(status), ...swapLines(status), ...cameraLines(status), storageLine(status));
  }
  if (unsaved > 0) lines.push({ level: "warn", name: "unsaved", text: say("not_saved", { count: unsaved }) });
  if (!durable) lines.push({ level: "warn", name: "store", text: say("no_browser_store") });
  lines.push({ level: "good", name: "operator", text: operator });
  byId("health-items").replaceChildren(
    ...lines.map((line) => {
      const item = make("li", `health-${line.level}`);
      item.dataset.name = line.name;
      if (line.name !== "operator") item.append(icon(line.level));
      item.append(make("span", "", line.text));
      if (line.detail) item.append(make("small", "", line.detail));
      return item;
    }),
  );
}

/**
 * @param {import("./types.js").Status} status
 * @returns {Line}
 */
function modelLine({ model }) {
  if (model === null) return { level: "bad", name: "model", text: say("no_model") };
  // Eight digits of the digest: enough to tell two models apart on a screen.
  return { level: "good", name: "model", text: `${model.name} ${model.version}`, detail: model.digest.replace("sha256:", "").slice(0, 8) };
}

/**
 * The serving model's probation, and a candidate beside it.
 * @param {import("./types.js").Status} status
 * @returns {Line[]}
 */
function swapLines({ swap: { probation, shadow } }) {
  /** @type {Line[]} */
  const lines = [];
  if (probation !== null) {
    const { frames, alarms, errors, baseline_frames, baseline_alarms } = probation;
    lines.push({
      level: errors > 0 ? "warn" : "good",
      name: "probation",
      text: say("on_probation"),
      detail: say("share_rejected", { now: share(alarms, frames), before: share(baseline_alarms, baseline_frames) }),
    });
  }
  if (shadow !== null) {
    lines.push({
      level: "good",
      name: "shadow",
      text: say("in_shadow", { name: shadow.name }),
      detail: say("shadow_flips", {
        frames: shadow.wanted > 0 ? `${shadow.frames}/${shadow.wanted}` : shadow.frames,
        fewer: shadow.reject_to_pass,
        more: shadow.pass_to_reject,
      }),
    });
  }
  return lines;
}

/**
 * @param {import("./types.js").Status} status
 * @returns {Line[]}
 */
function cameraLines({ cameras }) {
  if (cameras.length === 0) return [{ level: "warn", name: "camera", text: say("no_camera") }];
  return cameras.slice(0, 4).map(({ name, state, message }) => ({
    level: state === "running" ? "good" : state === "ended" ? "warn" : "bad",
    name: "camera",
    text: name,
    detail: state === "lost" ? `${say("camera_lost")} ${message}` : say(state),
  }));
}

/**
 * @param {import("./types.js").Status} status
 * @returns {Line}
 */
function storageLine({ storage }) {
  const level = storage.state === "ok" ? "good" : storage.state === "full" ? "warn" : "bad";
  return { level, name: "log", text: say(`log_${storage.state}`), detail: storage.trouble };
}
