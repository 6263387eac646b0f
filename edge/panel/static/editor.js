// A whole frame to speak of: draw a missed defect and choose what it is; say that the frame is healthy, or complete.
// @ts-check
import { around, boxBetween, nudged } from "./geometry.js";
import { byId, choice, dialog } from "./dom.js";
import { listen } from "./keys.js";
import { load, sideFor } from "./pictures.js";
import { read } from "./api.js";
import { say } from "./i18n.js";
import { Told } from "./told.js";
import { View } from "./view.js";

/** @typedef {import("./types.js").Box} Box */
/** @typedef {import("./types.js").FrameRecord} FrameRecord */
/** @typedef {import("./types.js").KeptFrame} KeptFrame */

const ZOOMS = [1, 2, 4];
/** Share of the frame by which an arrow key moves a box. */
const NUDGE = 0.01;

export class Editor {
  #dialog = dialog("editor");
  #view = new View(byId("editor-view"));
  #told = new Told("editor-told");
  /** @type {KeptFrame | null} */
  #frame = null;
  /** @type {FrameRecord | null} */
  #record = null;
  /** @type {Box | null} */
  #box = null;
  /** @type {{box: Box, label: string}[]} drawn here and acknowledged */
  #drawn = [];
  /** @type {[number, number] | null} */
  #start = null;
  /** @type {[number, number]} */
  #centre = [0, 0];
  #zoom = 0;
  #opened = 0;
  /** @type {string[]} */
  #classes = [];
  /** @type {import("./types.js").Item | null} */
  #item = null;

  /**
   * @param {import("./speaker.js").Speaker} speaker
   * @param {{saidOfFrame: (frameId: string) => void, closed: () => void}} tell
   */
  constructor(speaker, tell) {
    this.speaker = speaker;
    this.tell = tell;
    const area = this.#view.root;
    area.addEventListener("pointerdown", (event) => this.#down(event));
    area.addEventListener("pointermove", (event) => this.#move(event));
    area.addEventListener("pointerup", (event) => this.#up(event));
    area.addEventListener("pointercancel", () => (this.#start = null));
    byId("editor-in").addEventListener("click", () => this.#zoomBy(1));
    byId("editor-out").addEventListener("click", () => this.#zoomBy(-1));
    byId("editor-healthy").addEventListener("click", () => void this.#whole("FRAME_HEALTHY"));
    byId("editor-complete").addEventListener("click", () => void this.#whole("FRAME_COMPLETE"));
    byId("editor-undo").addEventListener("click", () => void this.#undo());
    byId("editor-close").addEventListener("click", () => this.#dialog.close());
    this.#dialog.addEventListener("close", () => tell.closed());
    new ResizeObserver(() => void this.#load()).observe(area);
  }

  /**
   * @param {KeptFrame} frame
   * @param {string[]} classes
   * @param {import("./types.js").Item | null} item the detection that was asked, if any
   */
  async open(frame, classes, item) {
    this.#frame = frame;
    this.#record = null;
    this.#item = item;
    this.#box = null;
    this.#drawn = [];
    this.#classes = classes;
    this.#zoom = 0;
    this.#centre = [frame.width / 2, frame.height / 2];
    this.#opened = performance.now();
    this.#told.tell("idle", "");
    this.#offer();
    this.#dialog.showModal();
    void this.#load();
    try {
      /** @type {FrameRecord} */
      const record = await read(`/api/frames/${encodeURIComponent(frame.frame_id)}`);
      if (this.#frame !== frame) return;
      this.#record = record;
      this.speaker.heardRecord(record);
      this.#draw();
    } catch {
      // Offline one can still draw; what was said before is then not shown.
    }
  }

  #offer() {
    /** @type {Record<string, () => void>} */
    const keys = {
      H: () => void this.#whole("FRAME_HEALTHY"),
      C: () => void this.#whole("FRAME_COMPLETE"),
      0: () => void this.#undo(),
      "+": () => this.#zoomBy(1),
      "-": () => this.#zoomBy(-1),
    };
    for (const [name, dx, dy] of /** @type {[string, number, number][]} */ ([
      ["ArrowLeft", -1, 0],
      ["ArrowRight", 1, 0],
      ["ArrowUp", 0, -1],
      ["ArrowDown", 0, 1],
    ])) {
      keys[name] = () => this.#nudge(dx, dy, false);
    }
    // Letters, because a keypad has no Shift: W and S height, A and D width.
    keys.D = () => this.#nudge(1, 0, true);
    keys.A = () => this.#nudge(-1, 0, true);
    keys.S = () => this.#nudge(0, 1, true);
    keys.W = () => this.#nudge(0, -1, true);
    byId("editor-classes").replaceChildren(
      ...this.#classes.map((name, index) => {
        const key = index < 9 ? String(index + 1) : "";
        if (key) keys[key] = () => void this.#save(name);
        const button = choice(name, key, () => void this.#save(name));
        button.disabled = this.#box === null || !this.speaker.may;
        return button;
      }),
    );
    listen(this.#dialog, keys);
    /** @type {HTMLButtonElement} */ (byId("editor-undo")).disabled = !this.speaker.canUndo;
    for (const id of ["editor-healthy", "editor-complete"]) /** @type {HTMLButtonElement} */ (byId(id)).disabled = !this.speaker.may;
  }

  /** @param {string} className */
  async #save(className) {
    const [frame, box] = [this.#frame, this.#box];
    if (frame === null || box === null || !this.speaker.may) return;
    this.#box = null;
    const label = `${say("missed")} · ${className}`;
    const done = await this.#say(
      () => this.speaker.sayMissed(frame.frame_id, { className, box, seconds: this.#seconds(), label, item: this.#item }),
      label,
    );
    if (this.#frame !== frame) return;
    if (done) this.#drawn.push({ box, label: className });
    else this.#box = box;
    this.#offer();
    this.#draw();
  }

  /** @param {"FRAME_HEALTHY" | "FRAME_COMPLETE"} gesture */
  async #whole(gesture) {
    const frame = this.#frame;
    if (frame === null || !this.speaker.may) return;
    const label = say(gesture.toLowerCase());
    const details = { seconds: this.#seconds(), label, item: this.#item };
    if (await this.#say(() => this.speaker.say({ frame_id: frame.frame_id }, gesture, details), label)) {
      this.tell.saidOfFrame(frame.frame_id);
    }
    this.#offer();
  }

  async #undo() {
    const undone = this.speaker.undo();
    if (undone === null) return;
    const done = await this.#say(() => undone.word, undone.spoken.label, "undone");
    if (done && undone.spoken.target.missed_index && undone.spoken.target.frame_id === this.#frame?.frame_id) this.#drawn.pop();
    this.#offer();
    this.#draw();
  }

  /**
   * Waits for the station's word, however long that takes: the dialog may be closed meanwhile.
   * @param {() => Promise<import("./types.js").Ack>} speak
   * @param {string} label
   * @param {string} [word]
   * @returns {Promise<boolean>}
   */
  async #say(speak, label, word = "saved") {
    this.#told.tell("saving", say("saving"));
    const ack = await speak();
    this.#opened = performance.now();
    if (ack.code === 0) this.#told.tell("saved", say(word, { what: label }));
    else this.#told.tell("refused", say("refused", { why: ack.message || ack.reason }));
    return ack.code === 0;
  }

  #seconds() {
    return (performance.now() - this.#opened) / 1000;
  }

  /** @returns {Box} */
  #region() {
    const { width, height } = /** @type {KeptFrame} */ (this.#frame);
    if (this.#zoom === 0) return [0, 0, width, height];
    const side = Math.min(width, height) / ZOOMS[this.#zoom];
    const [x, y] = this.#centre;
    return around([x - side / 2, y - side / 2, x + side / 2, y + side / 2], width, height, 1, this.#view.aspect);
  }

  async #load() {
    const frame = this.#frame;
    if (frame === null || !this.#dialog.open) return;
    const region = this.#region();
    this.#draw();
    try {
      const bitmap = await load(frame.frame_id, sideFor(this.#view.root), region);
      if (this.#frame !== frame) return;
      this.#view.picture(bitmap, region);
      this.#draw();
    } catch {
      this.#told.tell("refused", say("picture_gone"));
    }
  }

  #draw() {
    if (this.#frame === null) return;
    /** @type {import("./view.js").Mark[]} */
    const marks = (this.#record?.detections ?? []).map((found) => ({ box: found.box, label: found.class_name, kind: "other" }));
    for (const { box, label } of [...standing(this.#record), ...this.#drawn]) marks.push({ box, label, kind: "said" });
    if (this.#box !== null) marks.push({ box: this.#box, label: "", kind: "drawn" });
    this.#view.look(this.#region(), marks);
  }

  /** @param {number} step */
  #zoomBy(step) {
    this.#zoom = Math.max(0, Math.min(ZOOMS.length - 1, this.#zoom + step));
    if (this.#box !== null) this.#centre = [(this.#box[0] + this.#box[2]) / 2, (this.#box[1] + this.#box[3]) / 2];
    void this.#load();
  }

  /**
   * @param {number} dx
   * @param {number} dy
   * @param {boolean} grow
   */
  #nudge(dx, dy, grow) {
    if (this.#frame === null) return;
    const { width, height } = this.#frame;
    const [x, y] = this.#centre;
    const step = Math.max(1, Math.min(width, height) * NUDGE);
    const first = /** @type {Box} */ ([x - width / 16, y - height / 16, x + width / 16, y + height / 16]);
    this.#box = nudged(this.#box ?? first, dx * step, dy * step, grow, width, height);
    this.#offer();
    this.#draw();
  }

  /** @param {PointerEvent} event */
  #down(event) {
    if (/** @type {HTMLElement} */ (event.target).closest("button") !== null || !event.isPrimary) return;
    this.#view.root.setPointerCapture(event.pointerId);
    this.#start = this.#view.at(event);
  }

  /** @param {PointerEvent} event */
  #move(event) {
    if (this.#start === null) return;
    this.#box = boxBetween(this.#start, this.#view.at(event));
    this.#draw();
  }

  /** @param {PointerEvent} event */
  #up(event) {
    if (this.#start === null) return;
    const [start, end] = [this.#start, this.#view.at(event)];
    this.#start = null;
    this.#box = boxBetween(start, end);
    if (this.#box === null) {
      this.#centre = end;
      if (this.#zoom > 0) void this.#load();
    }
    this.#offer();
    this.#draw();
  }
}

/**
 * Missed defects that were said before and not taken back.
 * @param {FrameRecord | null} record
 * @returns {{box: Box, label: string}[]}
 */
function standing(record) {
  /** @type {Map<string, import("./types.js").Said>} */
  const last = new Map();
  for (const said of record?.events ?? []) {
    if (!said.missed_index) continue;
    const name = `${said.operator} ${said.missed_index}`;
    if (said.revision > (last.get(name)?.revision ?? 0)) last.set(name, said);
  }
  return [...last.values()].flatMap((said) => (said.box === null ? [] : [{ box: said.box, label: said.class_name }]));
}
