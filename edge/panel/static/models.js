// The station's models: which serves, which are on their way, and the way back to the one before.
// @ts-check
import { read, write } from "./api.js";
import { byId, dialog, icon, make } from "./dom.js";
import { onHold } from "./hold.js";
import { say } from "./i18n.js";
import { Told } from "./told.js";

/** @typedef {import("./types.js").ModelEntry} ModelEntry */
/** @typedef {import("./types.js").ModelsAnswer} ModelsAnswer */

/** As many others as a person looks through. */
const MOST_OTHERS = 8;
/** States in which a package cannot be let serve. */
const NOT_READY = new Set(["REFUSED", "RECEIVED"]);
/** It is proven and warmed up first; building an engine can take minutes. */
const ACTIVATE_MS = 600_000;

export class Models {
  #dialog = dialog("models");
  #back = /** @type {HTMLButtonElement} */ (byId("models-back"));
  #told = new Told("models-told");
  /** @type {ModelsAnswer | null} */
  #answer = null;
  #asking = false;
  #going = false;

  /** @param {() => string} operator who holds the button */
  constructor(operator) {
    this.operator = operator;
    byId("models-open").addEventListener("click", () => this.open());
    byId("models-close").addEventListener("click", () => this.#dialog.close());
    onHold(this.#back, () => void this.#goBack());
    document.addEventListener("language", () => this.#show());
  }

  open() {
    if (this.#dialog.open) return;
    this.#told.tell("idle", "");
    this.#answer = null;
    this.#show();
    this.#dialog.showModal();
    void this.refresh();
  }

  /** Asks anew, while somebody looks. */
  async refresh() {
    if (!this.#dialog.open || this.#asking || this.#going) return;
    this.#asking = true;
    try {
      this.#answer = await read("/api/models");
    } catch (error) {
      // What was seen last stays: the station is asked with the digest that stands here, and it knows what serves.
      if (this.#answer === null) this.#told.tell("refused", error instanceof Error ? error.message : say("lost"));
    } finally {
      this.#asking = false;
    }
    this.#show();
  }

  async #goBack() {
    const before = serving(this.#answer);
    if (before === null || this.#going) return;
    this.#going = true;
    this.#told.tell("saving", say("going_back"));
    this.#show();
    try {
      // The model that stood here when the button was held: if another serves by now, nothing is done.
      this.#answer = await write("/api/models/rollback", { operator: this.operator(), digest: before.digest });
      const now = serving(this.#answer);
      this.#told.tell("saved", say("serves_again", { name: now === null ? "–" : nameOf(now) }));
    } catch (error) {
      this.#told.tell("refused", say("not_back", { why: error instanceof Error ? error.message : say("lost") }));
    } finally {
      this.#going = false;
    }
    this.#show();
    void this.refresh();
  }

  /** @param {ModelEntry} model */
  #activator(model) {
    const button = /** @type {HTMLButtonElement} */ (make("button", "act wide hold"));
    button.type = "button";
    button.disabled = this.#going;
    button.append(make("span", "", `${say("activate")}: ${nameOf(model)}`));
    onHold(button, () => void this.#activate(model));
    return button;
  }

  /** @param {ModelEntry} model */
  async #activate(model) {
    if (this.#going) return;
    this.#going = true;
    this.#told.tell("saving", say("activating"));
    this.#show();
    try {
      this.#answer = await write("/api/models/activate", { digest: model.digest }, ACTIVATE_MS);
      this.#told.tell("saved", say("activated", { name: nameOf(model) }));
    } catch (error) {
      this.#told.tell("refused", say("not_activated", { why: error instanceof Error ? error.message : say("lost") }));
    } finally {
      this.#going = false;
    }
    this.#show();
    void this.refresh();
  }

  #show() {
    const answer = this.#answer;
    const now = serving(answer);
    byId("models-now").replaceChildren(...(now === null ? [make("p", "model-name", answer === null ? "…" : say("no_model"))] : entry(now, "pass")));
    const target = answer?.way_back ?? null;
    this.#back.disabled = this.#going || now === null || target === null || !answer?.may_roll_back;
    byId("models-back-text").textContent = target === null ? say("no_way_back") : say("back_to", { name: nameOf(target) });
    byId("models-hint").hidden = this.#back.disabled;
    byId("models-frozen").hidden = !answer?.frozen;
    byId("models-frozen").textContent = answer?.frozen ? say("frozen", { why: answer.frozen }) : "";
    const others = (answer?.models ?? []).filter((model) => !model.serving).slice(0, MOST_OTHERS);
    byId("models-others").replaceChildren(
      ...others.map((model) => {
        const item = make("li");
        item.append(...entry(model, model.state === "REFUSED" ? "bad" : "none"));
        if (answer?.may_activate && !NOT_READY.has(model.state)) item.append(this.#activator(model));
        return item;
      }),
    );
  }
}

/**
 * @param {ModelsAnswer | null} answer
 * @returns {ModelEntry | null}
 */
function serving(answer) {
  return answer?.models.find((model) => model.serving) ?? null;
}

/**
 * @param {ModelEntry} model
 * @returns {string}
 */
function nameOf({ name, version }) {
  return `${name} ${version}`.trim();
}

/**
 * @param {ModelEntry} model
 * @param {string} shape
 * @returns {Node[]}
 */
function entry(model, shape) {
  const title = make("p", "model-name");
  title.append(icon(shape), make("span", "", nameOf(model) || say("model_unread")), make("small", "", model.digest.replace("sha256:", "").slice(0, 8)));
  const since = new Date(model.since_unix_ms).toLocaleString(document.documentElement.lang);
  const lines = [`${say(`state_${model.state}`)} · ${since}`, ...figures(model)];
  if (model.reason || model.message) lines.push([model.reason, model.message].filter(Boolean).join(": "));
  return [title, ...lines.map((text) => make("p", "model-line", text))];
}

/**
 * @param {ModelEntry} model
 * @returns {string[]}
 */
function figures({ probation, shadow, replay }) {
  const lines = [];
  if (replay !== null) {
    lines.push(replay.finished ? say("replayed", { escapes: replay.escapes, defects: replay.defects }) : say("replaying", { done: replay.done, total: replay.total }));
  }
  if (shadow !== null) {
    const frames = shadow.wanted > 0 ? `${shadow.frames}/${shadow.wanted}` : shadow.frames;
    lines.push(say("shadow_flips", { frames, fewer: shadow.reject_to_pass, more: shadow.pass_to_reject }));
  }
  if (probation !== null) {
    const { frames, alarms, errors, baseline_frames, baseline_alarms } = probation;
    lines.push(`${say("share_rejected", { now: share(alarms, frames), before: share(baseline_alarms, baseline_frames) })} · ${say("parts_errors", { frames, errors })}`);
  }
  return lines;
}

/**
 * @param {number} some
 * @param {number} all
 * @returns {string}
 */
export function share(some, all) {
  return all > 0 ? `${Math.round((100 * some) / all)} %` : "–";
}
