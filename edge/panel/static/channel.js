// The page's one WebSocket (edge/panel/live.py says what travels). Comes back by itself, for ever.
// @ts-check

const FIRST_WAIT_MS = 300;
const LONGEST_WAIT_MS = 3000;
/** Three of the station's heartbeats: after that silence the connection is dead, whatever TCP says. */
const SILENCE_MS = 6500;
/** The station's word that nobody is logged in here, or not any more. */
const LOG_IN = 4401;

/** @typedef {{header: import("./types.js").Decision, jpeg: Blob | null}} Picture */

/** Events: "status" (detail Status), "picture" (detail Picture), "connection", "login". */
export class Channel extends EventTarget {
  /** @type {WebSocket | null} */
  #socket = null;
  #wait = FIRST_WAIT_MS;
  #timer = 0;
  #watch = 0;
  #camera = "";
  connected = false;

  constructor() {
    super();
    addEventListener("online", () => this.#now());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.#now();
    });
    addEventListener("offline", () => this.#dropped(this.#socket));
    this.#connect();
  }

  /**
   * The picture is on the screen: the next may come.
   * @param {string} frameId
   */
  shown(frameId) {
    this.#tell({ shown: frameId });
  }

  /** @param {string} name "" for whichever was last */
  camera(name) {
    this.#camera = name;
    this.#tell({ camera: name });
  }

  /** @param {object} message */
  #tell(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #connect() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/live`);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    this.#alive(socket);
    socket.addEventListener("open", () => {
      if (this.#camera) this.camera(this.#camera);
    });
    socket.addEventListener("message", (event) => {
      if (socket !== this.#socket) return;
      this.#alive(socket);
      if (typeof event.data === "string") {
        // Connected is who has heard the station's word, not who has reached a socket.
        this.#wait = FIRST_WAIT_MS;
        this.#set(true);
        this.dispatchEvent(new CustomEvent("status", { detail: JSON.parse(event.data) }));
      } else {
        this.dispatchEvent(new CustomEvent("picture", { detail: split(event.data) }));
      }
    });
    socket.addEventListener("close", (event) => {
      if (event.code === LOG_IN) this.dispatchEvent(new Event("login"));
      this.#dropped(socket);
    });
    socket.addEventListener("error", () => this.#dropped(socket));
  }

  /** @param {WebSocket} socket */
  #alive(socket) {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => this.#dropped(socket), SILENCE_MS);
  }

  /** @param {WebSocket | null} socket */
  #dropped(socket) {
    if (socket === null || socket !== this.#socket) return;
    this.#socket = null;
    clearTimeout(this.#watch);
    socket.close();
    this.#set(false);
    this.#timer = setTimeout(() => this.#connect(), this.#wait * (0.75 + Math.random() / 2));
    this.#wait = Math.min(LONGEST_WAIT_MS, this.#wait * 1.7);
  }

  #now() {
    if (this.#socket !== null) return;
    clearTimeout(this.#timer);
    this.#connect();
  }

  /** @param {boolean} connected */
  #set(connected) {
    if (connected === this.connected) return;
    this.connected = connected;
    this.dispatchEvent(new Event("connection"));
  }
}

/**
 * @param {ArrayBuffer} data
 * @returns {Picture}
 */
function split(data) {
  const length = new DataView(data).getUint32(0);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
  const rest = data.byteLength - 4 - length;
  return { header, jpeg: rest === 0 ? null : new Blob([new Uint8Array(data, 4 + length)], { type: "image/jpeg" }) };
}
