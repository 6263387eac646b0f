// One detection at a time: shows it, takes the answer, and goes on when the answer is durable.
// @ts-check
import { around } from "./geometry.js";
import { byId } from "./dom.js";
import { chooseClass } from "./chooser.js";
import { load, sideFor } from "./pictures.js";
import { say } from "./i18n.js";
import { View } from "./view.js";

/** @typedef {import("./types.js").Item} Item */
/** @typedef {import("./types.js").Box} Box */

/** How many times the box the view is wide, from close to far; the last is the whole frame. */
const FACTORS = [1.5, 3, 7, Infinity];
const FIRST_FACTOR = 1;
/** Pictures fetched before they are asked for: the next one is there at once, and some when the network is not. */
const AHEAD = 3;
/** A finger that taps twice must not answer for a detection it has not seen. */
const ARMED_MS = 150;
/** These need no look at the picture. */
const BLIND = new Set(["SKIP", "UNDO"]);
const ABOUT_FRAME = new Set(["FRAME_HEALTHY", "FRAME_COMPLETE"]);

export class Judge {
  #view = new View(byId("judge-view"));
  #overview = new View(byId("overview"));
  #level = FIRST_FACTOR;
  #busy = false;
  /** @type {Item | null} the one on the screen */
  #item = null;
  #seen = false;
  #since = 0;
  #looked = 0;

  /**
   * @param {{queue: import("./queue.js").Queue, speaker: import("./speaker.js").Speaker,
   *   told: import("./told.js").Told, classesOf: (item: Item) => string[], editor: import("./editor.js").Editor,
   *   refresh: () => void}} parts
   */
  constructor(parts) {
    this.parts = parts;
    for (const button of document.querySelectorAll("[data-act]")) {
      button.addEventListener("click", () => void this.act(/** @type {HTMLElement} */ (button).dataset.act ?? ""));
    }
    byId("zoom-in").addEventListener("click", () => this.zoom(-1));
    byId("zoom-out").addEventListener("click", () => this.zoom(1));
    new ResizeObserver(() => void this.#look()).observe(byId("judge-view"));
    document.addEventListener("visibilitychange", () => this.#clock(!document.hidden));
    document.addEventListener("language", () => this.show());
    parts.speaker.addEventListener("change", () => this.#enable());
  }

  /** Shows what the queue says is next; leaves alone what is on the screen already. */
  show() {
    const item = this.parts.queue.current;
    const word = item === null ? "" : say("about", { score: Math.round(item.score * 100), waiting: this.parts.queue.waiting });
    byId("question").textContent = item === null ? say("all_done") : say("question", { name: item.class_name });
    byId("about").textContent = item === null ? "" : [word, item.frame.part_id, item.frame.camera].filter(Boolean).join(" · ");
    byId("judge-note").textContent = say(item === null ? "nothing" : "loading");
    if (item?.detection_id !== this.#item?.detection_id) {
      this.#item = item;
      this.#seen = false;
      this.#looked = 0;
      this.#since = 0;
      this.#level = FIRST_FACTOR;
      this.#view.picture(null, [0, 0, 1, 1]);
      this.#overview.picture(null, [0, 0, 1, 1]);
      this.#view.look([0, 0, 1, 1], []);
      this.#overview.look([0, 0, 1, 1], []);
      void this.#look();
    } else if (item !== null && !this.#seen) {
      // Its picture could not be had; the station may be back.
      void this.#look();
    }
    this.#enable();
  }

  /** @param {number} step 1: wider, -1: closer */
  zoom(step) {
    this.#level = Math.max(0, Math.min(FACTORS.length - 1, this.#level + step));
    void this.#look();
  }

  /** @param {string} name of the action, as on the button */
  async act(name) {
    const item = this.#item;
    if (this.#busy || (!this.parts.speaker.may && name !== "SKIP")) return;
    if (name === "UNDO") return this.#hold(name, () => this.#undo());
    if (item === null || (!BLIND.has(name) && (!this.#seen || this.#seconds() * 1000 < ARMED_MS))) return;
    if (name === "SKIP") {
      this.parts.queue.skip();
      this.show();
    } else if (name === "MISSED") {
      await this.parts.editor.open(item.frame, this.parts.classesOf(item), item);
    } else if (ABOUT_FRAME.has(name)) {
      await this.#hold(name, () => this.#answer(item, name, { frame_id: item.frame.frame_id }));
    } else {
      const className = name === "WRONG_CLASS" ? await this.#otherClass(item) : "";
      if (className === null || this.#item !== item) return;
      const target = { frame_id: item.frame.frame_id, detection_id: item.detection_id };
      await this.#hold(name, () => this.#answer(item, name, target, className));
    }
  }

  /** @param {Item} item */
  #otherClass(item) {
    return chooseClass(this.parts.classesOf(item).filter((name) => name !== item.class_name));
  }

  /**
   * @param {Item} item
   * @param {string} gesture
   * @param {import("./feedback.js").Target} target
   * @param {string} [className]
   */
  async #answer(item, gesture, target, className = "") {
    const { queue, speaker, told } = this.parts;
    const label = [say(gesture.toLowerCase()), className || (target.detection_id ? item.class_name : "")].filter(Boolean).join(" · ");
    told.tell("saving", say("saving"));
    const word = speaker.say(target, gesture, { className, seconds: this.#seconds(), label, item });
    const ack = await speaker.soon(word);
    if (ack !== null && ack.code !== 0) {
      // The refusal itself is shown by whoever hears all of them (app.js).
      if (ack.reason === "DETECTION_UNKNOWN" || ack.reason === "FEEDBACK_CONFLICT") queue.done();
    } else {
      if (ack === null) told.tell("idle", "");
      else told.tell("saved", say("saved", { what: label }));
      if (target.detection_id) queue.done();
      else queue.dropFrame(item.frame.frame_id);
    }
    this.show();
    if (ack !== null || queue.upcoming.length < 3) this.parts.refresh();
  }

  async #undo() {
    const { queue, speaker, told } = this.parts;
    const undone = speaker.undo();
    if (undone === null) return;
    told.tell("saving", say("saving"));
    const ack = await speaker.soon(undone.word);
    if (ack !== null && ack.code !== 0) return;
    told.tell(ack === null ? "idle" : "saved", ack === null ? "" : say("undone", { what: undone.spoken.label }));
    const { item, target } = undone.spoken;
    if (item !== null && !target.missed_index) queue.again(item);
    this.show();
    this.parts.refresh();
  }

  /**
   * One action at a time, its button marked meanwhile.
   * @param {string} name
   * @param {() => Promise<void>} action
   */
  async #hold(name, action) {
    const button = document.querySelector(`[data-act="${name}"]`);
    this.#busy = true;
    button?.classList.add("sending");
    try {
      await action();
    } finally {
      this.#busy = false;
      button?.classList.remove("sending");
      this.#enable();
    }
  }

  async #look() {
    const item = this.#item;
    if (item === null) return;
    const { width, height, frame_id: frameId } = item.frame;
    const level = this.#level;
    const region = this.#region(item);
    const marks = this.#marks(item);
    // At once with what there is, sharp as soon as it has come.
    this.#view.look(region, this.#seen ? marks : []);
    try {
      const bitmap = await load(frameId, sideFor(this.#view.root), region);
      if (this.#item !== item || this.#level !== level) return;
      this.#view.picture(bitmap, region);
      this.#view.look(region, marks);
      if (!this.#seen) {
        this.#seen = true;
        this.#clock(true);
        this.#enable();
      }
      const whole = /** @type {Box} */ ([0, 0, width, height]);
      byId("overview").hidden = level === FACTORS.length - 1;
      const small = await load(frameId, 320, null);
      if (this.#item !== item) return;
      this.#overview.picture(small, whole);
      this.#overview.look(whole, [{ box: item.box, label: "", kind: "asked" }]);
      for (const next of this.parts.queue.upcoming.slice(0, AHEAD)) {
        load(next.frame.frame_id, sideFor(this.#view.root), this.#region(next, FIRST_FACTOR)).catch(() => {});
      }
    } catch {
      if (this.#item === item && !this.#seen) byId("judge-note").textContent = say("picture_gone");
    }
  }

  /**
   * @param {Item} item
   * @param {number} [level]
   * @returns {Box}
   */
  #region(item, level = this.#level) {
    const { width, height } = item.frame;
    if (FACTORS[level] === Infinity) return [0, 0, width, height];
    return around(item.box, width, height, FACTORS[level], this.#view.aspect);
  }

  /**
   * @param {Item} item
   * @returns {import("./view.js").Mark[]}
   */
  #marks(item) {
    const beside = this.parts.queue.upcoming.filter((other) => other.frame.frame_id === item.frame.frame_id);
    return [
      ...beside.map((other) => ({ box: other.box, label: other.class_name, kind: /** @type {const} */ ("other") })),
      { box: item.box, label: item.class_name, kind: "asked" },
    ];
  }

  /** @param {boolean} runs the operator looks */
  #clock(runs) {
    if (this.#since > 0) this.#looked += performance.now() - this.#since;
    this.#since = runs && this.#seen ? performance.now() : 0;
  }

  /** How long the operator has looked at this one. */
  #seconds() {
    return (this.#looked + (this.#since > 0 ? performance.now() - this.#since : 0)) / 1000;
  }

  #enable() {
    for (const element of document.querySelectorAll("[data-act]")) {
      const button = /** @type {HTMLButtonElement} */ (element);
      const name = button.dataset.act ?? "";
      if (name === "UNDO") button.disabled = !this.parts.speaker.canUndo;
      else button.disabled = this.#item === null || (!this.parts.speaker.may && name !== "SKIP") || (!this.#seen && !BLIND.has(name));
    }
  }
}
