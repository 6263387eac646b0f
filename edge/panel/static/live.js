// The line as it runs: the verdict, large; the picture it was made from; the last verdicts in a row. A verdict that is
// old, or whose camera or station cannot be heard, is never left standing as if it were the present one.
// @ts-check
import { byId, icon } from "./dom.js";
import { say } from "./i18n.js";
import { View } from "./view.js";

/** @typedef {import("./types.js").Decision} Decision */
/** @typedef {import("./types.js").Status} Status */

/** @type {Readonly<Record<string, string>>} */
const SHAPES = { PASS: "pass", REJECT: "reject", NO_VERDICT: "unknown", NONE: "none", LOST: "none" };
const AGE_EVERY_MS = 500;

export class Live {
  #view = new View(byId("live-view"));
  /** Whether this person may judge the part on the screen. */
  may = true;
  /** @type {Decision | null} the one on the screen */
  decision = null;
  /** @type {Status | null} */
  #status = null;
  #connected = false;
  /** @type {ImageBitmap | null} */
  #bitmap = null;
  /** Station's clock minus ours, milliseconds. */
  #ahead = 0;
  #waiting = "";

  /** @param {import("./channel.js").Channel} channel */
  constructor(channel) {
    this.channel = channel;
    channel.addEventListener("picture", (event) => void this.#picture(/** @type {CustomEvent} */ (event).detail));
    channel.addEventListener("connection", () => {
      this.#connected = channel.connected;
      this.#verdict();
    });
    document.addEventListener("language", () => this.#everything());
    document.addEventListener("visibilitychange", () => {
      // A page nobody looks at asks for no pictures.
      if (!document.hidden && this.#waiting) this.channel.shown(this.#waiting);
    });
    setInterval(() => this.#age(), AGE_EVERY_MS);
  }

  /** @param {Status} status */
  status(status) {
    this.#status = status;
    this.#ahead = status.now_unix_ms - Date.now();
    this.#everything();
  }

  /** @param {import("./channel.js").Picture} picture */
  async #picture({ header, jpeg }) {
    try {
      const bitmap = jpeg === null ? null : await createImageBitmap(jpeg);
      const old = this.#bitmap;
      this.#bitmap = bitmap;
      this.decision = header;
      const whole = /** @type {import("./types.js").Box} */ ([0, 0, Math.max(1, header.width), Math.max(1, header.height)]);
      this.#view.picture(bitmap, whole);
      this.#view.look(whole, header.detections.map(({ box, class_name: name, score }) => ({
        box,
        label: `${name} ${Math.round(score * 100)}`,
        kind: /** @type {const} */ ("found"),
      })));
      old?.close();
    } finally {
      this.#waiting = header.frame_id;
      if (!document.hidden) this.channel.shown(header.frame_id);
    }
    this.#verdict();
    this.#part();
  }

  #everything() {
    this.#verdict();
    this.#part();
    this.#recent();
  }

  #verdict() {
    const camera = this.#status?.cameras.find((line) => line.name === this.decision?.camera);
    let word = this.decision?.verdict ?? "NONE";
    let reason = this.decision?.verdict_reason ?? "";
    if (camera?.state === "lost") [word, reason] = ["NO_VERDICT", `${say("camera")} ${camera.name}: ${say("camera_lost")}`];
    if (!this.#connected) [word, reason] = ["LOST", ""];
    const root = byId("verdict");
    if (root.dataset.verdict !== word) {
      root.dataset.verdict = word;
      root.querySelector("use")?.setAttribute("href", `#i-${SHAPES[word] ?? "unknown"}`);
    }
    // Long words get smaller letters, so that one line always holds them.
    const text = say(word);
    byId("verdict-word").textContent = text;
    root.style.setProperty("--letters", String(Math.max(4, [...text].reduce((sum, letter) => sum + (letter > "\u2e80" ? 1.5 : 1), 0))));
    byId("verdict-reason").textContent = reason;
  }

  #part() {
    byId("part-id").textContent = this.decision?.part_id || "–";
    byId("part-camera").textContent = this.decision?.camera ?? "–";
    /** @type {HTMLButtonElement} */ (byId("teach")).disabled = !this.may || this.decision === null || this.decision.width === 0;
    this.#age();
  }

  #age() {
    if (this.decision === null) return;
    const seconds = Math.max(0, (Date.now() + this.#ahead - this.decision.captured_unix_ms) / 1000);
    byId("part-age").textContent = seconds < 10 ? `${seconds.toFixed(1)} s` : seconds < 600 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
    byId("verdict").classList.toggle("old", seconds > 10);
  }

  #recent() {
    if (this.#status === null) return;
    const { counts, recent } = this.#status;
    byId("counts").textContent = say("counts", { pass: counts.PASS, reject: counts.REJECT, none: counts.NO_VERDICT });
    const row = byId("recent");
    row.setAttribute("aria-label", say("recent"));
    row.replaceChildren(
      ...recent.slice(-15).map(({ verdict }) => {
        const mark = icon(SHAPES[verdict] ?? "unknown");
        mark.setAttribute("class", `recent-${verdict}`);
        return mark;
      }),
    );
  }
}
