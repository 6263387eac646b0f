// History: what the log holds, through filters. A frame is opened in the editor.
// @ts-check
import { read } from "./api.js";
import { icon, make, makeSvg } from "./dom.js";
import { say } from "./i18n.js";

/** @typedef {import("./types.js").KeptFrame} KeptFrame */
/** @typedef {{gesture: string, class_name: string, operators: string[], disputed: boolean}} Word */
/** @typedef {KeptFrame & {detections: (import("./types.js").Found & {said: Word | null})[], said: Word[]}} HistoryFrame */
/** @typedef {{frames: HistoryFrame[], next: string}} HistoryAnswer */

/** @type {Readonly<Record<string, string>>} */
const VERDICTS = { PASS: "pass", REJECT: "reject", NO_VERDICT: "unknown" };
/** @type {Readonly<Record<string, string>>} */
const GESTURES = { CONFIRM: "confirm", POOR_BOX: "box", REJECT: "deny", WRONG_CLASS: "class", UNSURE: "unsure", MISSED: "missed", FRAME_HEALTHY: "healthy", FRAME_COMPLETE: "complete" };

/** What is chosen stays while the page is open. @type {Record<string, string>} */
const chosen = { hours: "24", part: "", class_name: "", verdict: "", said: "", operator: "", model: "", camera: "" };

/**
 * @param {(frameId: string) => void} openFrame
 * @returns {import("./book.js").Page}
 */
export function historyPage(openFrame) {
  return {
    name: "history",
    shown: () => true,
    draw: async (root) => {
      const choices = await read("/api/choices");
      const list = make("div", "cards");
      const bar = make("form", "filters");
      bar.addEventListener("submit", (event) => event.preventDefault());
      const again = () => void fill(list, openFrame, "");
      const any = /** @type {[string, string]} */ (["", say("any")]);
      /** @param {string[]} names @returns {[string, string][]} */
      const plain = (names) => [any, ...names.map((name) => /** @type {[string, string]} */ ([name, name]))];
      bar.append(
        select("hours", "time", ["8", "24", "168", "336", "all"].map((name) => [name, say(`hours_${name}`)]), again),
        text("part", "part", again),
        select("class_name", "class", plain(choices.classes), again),
        select("verdict", "verdict", [any, ...Object.keys(VERDICTS).map((name) => /** @type {[string, string]} */ ([name, say(name)]))], again),
        select("said", "answer", [any, ["judged", say("said_judged")], ["open", say("said_open")]], again),
        select("operator", "operator", plain(choices.operators), again),
        select("model", "model", [any, ...choices.models.map((/** @type {{digest: string, name: string}} */ { digest, name }) => [digest, name])], again),
        select("camera", "camera", plain(choices.cameras), again),
      );
      root.append(bar, list);
      await fill(list, openFrame, "");
    },
  };
}

/**
 * @param {HTMLElement} list
 * @param {(frameId: string) => void} openFrame
 * @param {string} before
 */
async function fill(list, openFrame, before) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(chosen)) if (value && name !== "hours") query.set(name, value);
  if (chosen.hours !== "all") query.set("since", String(Date.now() - Number(chosen.hours) * 3600_000));
  if (before) query.set("before", before);
  /** @type {HistoryAnswer} */
  const answer = await read(`/api/history?${query}`);
  const cards = answer.frames.map((frame) => card(frame, openFrame));
  list.querySelector(".more")?.remove();
  if (before) list.append(...cards);
  else list.replaceChildren(...(cards.length > 0 ? cards : [make("p", "hint", say("nothing_found"))]));
  if (answer.next) {
    const more = make("button", "act more", say("more"));
    more.addEventListener("click", () => void fill(list, openFrame, answer.next));
    list.append(more);
  }
}

/**
 * @param {HistoryFrame} frame
 * @param {(frameId: string) => void} openFrame
 * @returns {HTMLElement}
 */
function card(frame, openFrame) {
  const button = /** @type {HTMLButtonElement} */ (make("button", "card"));
  button.type = "button";
  button.dataset.frame = frame.frame_id;
  const picture = make("span", "card-picture");
  const image = /** @type {HTMLImageElement} */ (make("img"));
  image.loading = "lazy";
  image.alt = "";
  image.width = frame.width;
  image.height = frame.height;
  image.src = `/api/frames/${encodeURIComponent(frame.frame_id)}/picture?side=320`;
  const marks = makeSvg("svg", { viewBox: `0 0 ${frame.width} ${frame.height}`, "aria-hidden": "true" });
  for (const { box, said } of frame.detections) {
    const place = { x: box[0], y: box[1], width: box[2] - box[0], height: box[3] - box[1] };
    marks.append(makeSvg("rect", { class: "card-halo", ...place }), makeSvg("rect", { class: `card-box${said === null ? "" : " card-said"}`, ...place }));
  }
  picture.append(image, marks);
  const head = make("span", "card-head");
  const verdict = icon(VERDICTS[frame.verdict] ?? "unknown");
  verdict.setAttribute("class", `recent-${frame.verdict}`);
  const when = new Date(frame.captured_unix_ms).toLocaleString(document.documentElement.lang, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" });
  head.append(verdict, make("strong", "", frame.part_id || "–"), make("small", "", when));
  const lines = [...frame.detections.map((found) => line(`${found.class_name} ${Math.round(found.score * 100)}`, found.said)), ...frame.said.map((said) => line("", said))];
  button.append(picture, head, ...lines);
  button.setAttribute("aria-label", `${say(frame.verdict)} ${frame.part_id} ${when}`);
  button.addEventListener("click", () => openFrame(frame.frame_id));
  return button;
}

/**
 * @param {string} name
 * @param {Word | null} said
 * @returns {HTMLElement}
 */
function line(name, said) {
  const row = make("span", "card-line");
  row.append(said === null ? icon("none") : icon(said.disputed ? "warn" : (GESTURES[said.gesture] ?? "none")), make("span", "", name));
  if (said !== null) {
    const word = said.disputed ? say("disputed") : [say(said.gesture.toLowerCase()), said.class_name].filter(Boolean).join(" · ");
    row.append(make("small", "", `${word} · ${said.operators.join(", ")}`));
  }
  return row;
}

/**
 * @param {string} name
 * @param {string} word
 * @param {[string, string][]} options
 * @param {() => void} changed
 * @returns {HTMLElement}
 */
function select(name, word, options, changed) {
  const field = /** @type {HTMLSelectElement} */ (make("select"));
  for (const [value, shown] of options) {
    const option = /** @type {HTMLOptionElement} */ (make("option", "", shown));
    option.value = value;
    option.selected = value === chosen[name];
    field.append(option);
  }
  field.name = name;
  field.addEventListener("change", () => {
    chosen[name] = field.value;
    changed();
  });
  return labelled(word, field);
}

/**
 * @param {string} name
 * @param {string} word
 * @param {() => void} changed
 * @returns {HTMLElement}
 */
function text(name, word, changed) {
  const field = /** @type {HTMLInputElement} */ (make("input"));
  field.name = name;
  field.value = chosen[name];
  field.maxLength = 200;
  field.addEventListener("change", () => {
    chosen[name] = field.value.trim();
    changed();
  });
  return labelled(word, field);
}

/**
 * @param {string} word
 * @param {HTMLElement} field
 * @returns {HTMLElement}
 */
export function labelled(word, field) {
  const label = make("label");
  label.append(make("span", "", say(word)), field);
  return label;
}
