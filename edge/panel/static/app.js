// Wires the page's parts together and decides nothing.
// @ts-check
import { read, submit, write } from "./api.js";
import { accountsPage } from "./page_accounts.js";
import { Book } from "./book.js";
import { byId } from "./dom.js";
import { Channel } from "./channel.js";
import { Editor } from "./editor.js";
import { begin, say } from "./i18n.js";
import { Judge } from "./judge.js";
import { listen } from "./keys.js";
import { Live } from "./live.js";
import { Models } from "./models.js";
import { Outbox } from "./outbox.js";
import { Login } from "./login.js";
import { paintTheme, Preferences } from "./preferences.js";
import { driftPage } from "./page_drift.js";
import { figuresPage } from "./page_figures.js";
import { historyPage } from "./page_history.js";
import { peoplePage } from "./page_people.js";
import { stationPage } from "./page_station.js";
import { Queue } from "./queue.js";
import { showHealth } from "./health.js";
import { Speaker } from "./speaker.js";
import { Told } from "./told.js";

/** @typedef {import("./types.js").Status} Status */

const REFRESH_EVERY_MS = 800;
/** While there is enough to judge, the list is asked for less often: it costs the station more than an answer does. */
const LAZY_MS = 2500;
const ENOUGH = 8;

/** @type {import("./types.js").Setup} */
const setup = await read("/api/setup");
begin(setup.language);
paintTheme();
const login = new Login(setup);
// Nothing below runs before somebody is let in: the page is then loaded anew.
if (setup.login && setup.who === null) await login.ask();

/** @type {Status | null} */
let status = null;
/** @type {Record<string, import("./types.js").Model>} */
let models = {};

const outbox = new Outbox(submit, setup.who?.name ?? "");
const channel = new Channel();
const queue = new Queue();
const speaker = new Speaker(outbox);
const told = new Told("told");
const live = new Live(channel);
const preferences = new Preferences(setup, {
  operator: (name) => {
    speaker.operator = name;
    health();
  },
  camera: (name) => channel.camera(name),
});
speaker.operator = preferences.operator;
speaker.proven = setup.login;
speaker.may = live.may = setup.who?.role !== "viewer";
const catalogue = new Models(() => speaker.operator);
const editor = new Editor(speaker, {
  saidOfFrame: (frameId) => {
    queue.dropFrame(frameId);
    judge.show();
  },
  closed: () => refresh(),
});
const judge = new Judge({ queue, speaker, told, classesOf: (item) => classesOf(item.frame.model), editor, refresh });

/**
 * @param {string} digest of the model that made the detection; another one's classes where it is not known
 * @returns {string[]}
 */
function classesOf(digest) {
  return (models[digest] ?? status?.model)?.classes ?? [];
}

let asking = false;
let again = false;
let lastAsked = 0;

/** Asks what is to be judged: not too often, and once more where a reason came meanwhile. */
function refresh() {
  if (asking) {
    again = true;
    return;
  }
  asking = true;
  setTimeout(() => void ask(), Math.max(0, lastAsked + (queue.upcoming.length < ENOUGH ? REFRESH_EVERY_MS : LAZY_MS) - performance.now()));
}

async function ask() {
  lastAsked = performance.now();
  again = false;
  try {
    /** @type {import("./types.js").QueueAnswer} */
    const answer = await read(`/api/queue?limit=${queue.wanted}`);
    models = { ...models, ...answer.models };
    for (const item of answer.items) speaker.heardItem(item);
    if (queue.take(answer.items, answer.waiting, (item) => speaker.answered(item, lastAsked))) {
      told.tell("note", say("elsewhere"));
      queue.next();
    }
    judge.show();
  } catch {
    // The next status, or the connection's return, asks again.
  } finally {
    asking = false;
    if (again) refresh();
  }
}

function health() {
  showHealth(status, { connected: channel.connected, unsaved: outbox.waiting, durable: outbox.durable, operator: speaker.operator });
}

/** @param {Status} now */
function heard(now) {
  const before = status;
  status = now;
  live.status(now);
  preferences.cameras(now.cameras.map((camera) => camera.name));
  if (now.boot_id !== before?.boot_id || now.storage.kept !== before.storage.kept || now.storage.said !== before.storage.said) refresh();
  const model = now.model;
  if (before !== null && model !== null && model.digest !== before.model?.digest) {
    told.tell("note", say("new_model", { name: `${model.name} ${model.version}` }));
  }
  document.title = `${now.station} · Lineside`;
  void catalogue.refresh();
  health();
}

channel.addEventListener("status", (event) => heard(/** @type {CustomEvent} */ (event).detail));
channel.addEventListener("login", () => void login.ask());
channel.addEventListener("connection", () => {
  if (channel.connected) {
    outbox.wake();
    refresh();
  }
  health();
});
let stuck = false;
outbox.addEventListener("change", showOutbox);
function showOutbox() {
  const words = /** @type {Record<string, string>} */ ({ NETWORK: say("lost"), STORAGE_FULL: say("log_full"), STORAGE_FAULT: say("log_fault") });
  const strangers = outbox.strangers.length > 0 ? say("waits_for", { names: outbox.strangers.join(", ") }) : "";
  told.waiting(outbox.waiting, outbox.trouble ? (words[outbox.trouble] ?? outbox.troubleMessage) : strangers);
  if (stuck && outbox.waiting === 0) told.tell("saved", say("all_saved"));
  stuck = outbox.waiting > 0 && (stuck || outbox.trouble !== "");
  health();
}
outbox.addEventListener("settled", (event) => {
  const { ack } = /** @type {CustomEvent} */ (event).detail;
  if (ack.code !== 0) told.tell("refused", say("refused", { why: ack.message || ack.reason }));
});
document.addEventListener("language", health);

/** Keeps the part on the live view, whatever the policies said of it, and opens it to be spoken of. */
async function teach() {
  const decision = live.decision;
  if (!speaker.may || decision === null || decision.width === 0) return;
  try {
    /** @type {import("./types.js").FrameRecord} */
    const record = await write(`/api/frames/${encodeURIComponent(decision.frame_id)}/keep`, { operator: speaker.operator });
    models = { ...models, ...record.models };
    await editor.open(record.frame, classesOf(record.frame.model), null);
  } catch (error) {
    told.tell("refused", say("refused", { why: error instanceof Error ? error.message : say("lost") }));
  }
}

byId("teach").addEventListener("click", () => void teach());
for (const tab of ["judge", "live"]) {
  byId(`tab-${tab}`).addEventListener("click", () => {
    const panel = /** @type {HTMLElement} */ (document.querySelector(".panel"));
    panel.dataset.tab = tab;
    for (const other of ["judge", "live"]) byId(`tab-${other}`).setAttribute("aria-pressed", String(other === tab));
  });
}

/**
 * Opens a kept frame to be looked at and spoken of.
 * @param {string} frameId
 */
async function openFrame(frameId) {
  try {
    /** @type {import("./types.js").FrameRecord} */
    const record = await read(`/api/frames/${encodeURIComponent(frameId)}`);
    models = { ...models, ...record.models };
    await editor.open(record.frame, classesOf(record.frame.model), null);
  } catch (error) {
    told.tell("refused", error instanceof Error ? error.message : say("lost"));
  }
}

const book = new Book(
  [historyPage((frameId) => void openFrame(frameId)), figuresPage(), driftPage(setup), peoplePage(setup), stationPage(), accountsPage()],
  setup,
);

/** @type {(name: string) => () => void} */
const act = (name) => () => void judge.act(name);
listen(null, {
  1: act("CONFIRM"),
  2: act("REJECT"),
  3: act("WRONG_CLASS"),
  4: act("POOR_BOX"),
  5: act("UNSURE"),
  6: act("SKIP"),
  7: act("MISSED"),
  8: act("FRAME_HEALTHY"),
  9: act("FRAME_COMPLETE"),
  0: act("UNDO"),
  Backspace: act("UNDO"),
  "+": () => judge.zoom(-1),
  "-": () => judge.zoom(1),
  F: () => void teach(),
  B: () => book.open(),
  M: () => catalogue.open(),
});
judge.show();
showOutbox();
refresh();
