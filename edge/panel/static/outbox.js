// Answers on their way to the station. Each is written into the browser's store before it is sent, and leaves it only
// when the station says that it is durable, or that it will never take it. The same key is sent again after a lost
// connection, a reload or a restart of the station, so nothing is lost and nothing counts twice.
// @ts-check
import { keep, kept, names } from "./store.js";
import { nameOf } from "./feedback.js";

/** @typedef {import("./types.js").Feedback} Feedback */
/** @typedef {import("./types.js").Ack} Ack */
/** @typedef {{feedback: Feedback, made: number}} Entry */

const PREFIX = "outbox.";
/** Refusals that may be over in a while. Every other one is final. */
const PASSING = new Set(["QUEUE_FULL", "STORAGE_FULL", "STORAGE_FAULT", "DRAINING", "DEADLINE", "INTERNAL", "UNAUTHENTICATED"]);
const FIRST_WAIT_MS = 400;
const LONGEST_WAIT_MS = 5000;
/** Another tab's answers are sent by this one when they are this old: that tab may be gone. */
const ORPHAN_MS = 10_000;

export class Outbox extends EventTarget {
  /** @type {Map<string, Entry>} */
  #entries = new Map();
  /** @type {Map<string, (ack: Ack) => void>} */
  #asked = new Map();
  #send;
  #busy = false;
  #wait = 0;
  #timer = 0;
  /** Why nothing goes through at present: a reason of the contract, "NETWORK", or "". */
  trouble = "";
  troubleMessage = "";
  /** Who is logged in: others' answers wait in the browser until they are. "": the station asks for no login. */
  sender = "";
  /** Whether this browser keeps answers over a reload. */
  durable = true;

  /**
   * @param {(feedback: Feedback) => Promise<Ack>} send
   * @param {string} sender
   */
  constructor(send, sender) {
    super();
    this.#send = send;
    this.sender = sender;
    this.#adopt(0);
    setInterval(() => this.#adopt(ORPHAN_MS), ORPHAN_MS);
    addEventListener("storage", (event) => this.#heard(event));
    this.wake();
  }

  /** Answers without an acknowledgement. @returns {number} */
  get waiting() {
    return this.#entries.size;
  }

  /** Whose answers wait for their login. @returns {string[]} */
  get strangers() {
    return [...new Set([...this.#entries.values()].filter((entry) => !this.#mine(entry)).map((entry) => entry.feedback.operator))];
  }

  /** @param {Entry} entry */
  #mine(entry) {
    return this.sender === "" || entry.feedback.operator === this.sender;
  }

  /**
   * Whether something about this target is on its way.
   * @param {import("./feedback.js").Target} target
   * @returns {boolean}
   */
  holds(target) {
    const name = nameOf(target);
    return [...this.#entries.values()].some((entry) => nameOf(entry.feedback) === name);
  }

  /** What is on its way. @returns {Feedback[]} */
  list() {
    return [...this.#entries.values()].map((entry) => entry.feedback);
  }

  /**
   * Keeps an answer and sends it.
   * @param {Feedback} feedback
   * @returns {Promise<Ack>} the station's word, accepted or finally refused; as late as that may be
   */
  add(feedback) {
    const entry = { feedback, made: Date.now() };
    this.durable = keep(PREFIX + feedback.key, JSON.stringify(entry));
    this.#entries.set(feedback.key, entry);
    const word = new Promise((resolve) => this.#asked.set(feedback.key, resolve));
    this.#tell();
    this.wake();
    return word;
  }

  /** Tries now: the connection is back. */
  wake() {
    clearTimeout(this.#timer);
    this.#wait = 0;
    void this.#pump();
  }

  async #pump() {
    if (this.#busy) return;
    this.#busy = true;
    try {
      for (let entry = this.#oldest(); entry !== undefined; entry = this.#oldest()) {
        if (!(await this.#deliver(entry))) {
          this.#wait = Math.min(LONGEST_WAIT_MS, Math.max(FIRST_WAIT_MS, this.#wait * 2));
          this.#timer = setTimeout(() => void this.#pump(), this.#wait * (0.75 + Math.random() / 2));
          return;
        }
        this.#wait = 0;
      }
    } finally {
      this.#busy = false;
    }
  }

  /**
   * @param {Entry} entry
   * @returns {Promise<boolean>} false: not now
   */
  async #deliver(entry) {
    /** @type {Ack} */
    let ack;
    try {
      ack = await this.#send(entry.feedback);
    } catch {
      ack = { key: entry.feedback.key, code: 14, reason: "NETWORK", message: "" };
    }
    const passing = ack.reason === "NETWORK" || PASSING.has(ack.reason);
    this.trouble = passing ? ack.reason : "";
    this.troubleMessage = passing ? ack.message : "";
    if (!passing) this.#settle(entry, ack);
    this.#tell();
    return !passing;
  }

  /**
   * @param {Entry} entry
   * @param {Ack} ack
   */
  #settle(entry, ack) {
    const key = entry.feedback.key;
    keep(PREFIX + key, null);
    this.#entries.delete(key);
    this.#asked.get(key)?.(ack);
    this.#asked.delete(key);
    this.dispatchEvent(new CustomEvent("settled", { detail: { feedback: entry.feedback, ack } }));
  }

  #oldest() {
    let oldest;
    for (const entry of this.#entries.values()) {
      if (!this.#mine(entry)) continue;
      if (oldest === undefined || entry.made < oldest.made) oldest = entry;
    }
    return oldest;
  }

  /** @param {number} age milliseconds; younger ones are their own tab's business */
  #adopt(age) {
    let found = false;
    for (const name of names(PREFIX)) {
      const key = name.slice(PREFIX.length);
      if (this.#entries.has(key)) continue;
      try {
        /** @type {Entry} */
        const entry = JSON.parse(kept(name) ?? "");
        if (typeof entry.feedback.key !== "string" || Date.now() - entry.made < age) continue;
        this.#entries.set(key, entry);
        found = true;
      } catch {
        keep(name, null);
      }
    }
    if (found) {
      this.#tell();
      void this.#pump();
    }
  }

  /** @param {StorageEvent} event another tab's answer was acknowledged there */
  #heard(event) {
    const key = event.key?.startsWith(`lineside.${PREFIX}`) ? event.key.slice(`lineside.${PREFIX}`.length) : "";
    if (key && event.newValue === null && this.#entries.has(key) && !this.#asked.has(key)) {
      this.#entries.delete(key);
      this.#tell();
    }
  }

  #tell() {
    this.dispatchEvent(new Event("change"));
  }
}
