// What is chosen on this device: operator, language, appearance, camera.
// @ts-check
import { byId, choice, dialog } from "./dom.js";
import { choose, say, spoken } from "./i18n.js";
import { logout, showWho } from "./login.js";
import { keep, kept } from "./store.js";
import { LANGUAGE_NAMES, LANGUAGES } from "./words.js";

const THEMES = ["auto", "dark", "light"];

export class Preferences {
  #dialog = dialog("settings");
  #camera = "";
  /** @type {string[]} */
  #cameras = [];
  operator;

  /**
   * @param {import("./types.js").Setup} setup
   * @param {{operator: (name: string) => void, camera: (name: string) => void}} chosen
   */
  constructor(setup, chosen) {
    this.setup = setup;
    this.chosen = chosen;
    this.operator = setup.who?.name ?? firstOperator(setup, kept("operator"));
    byId("menu").addEventListener("click", () => {
      this.#offer();
      this.#dialog.showModal();
    });
    byId("settings-close").addEventListener("click", () => this.#dialog.close());
    const form = byId("operator-form");
    form.hidden = setup.login || setup.operators.length > 0;
    byId("operators-section").hidden = setup.login;
    byId("logout").addEventListener("click", () => void logout());
    showWho(setup);
    form.addEventListener("submit", () => this.#use(/** @type {HTMLInputElement} */ (byId("operator-name")).value.trim()));
    // Also before a dialog: Escape and the language may change what is offered.
    document.addEventListener("language", () => this.#offer());
  }

  /** @param {string[]} names */
  cameras(names) {
    this.#cameras = names;
  }

  #offer() {
    showWho(this.setup);
    const names = [...new Set([this.setup.operator, ...this.setup.operators, this.operator])];
    list("operators", names, this.operator, (name) => name, (name) => this.#use(name));
    list("languages", [...LANGUAGES], spoken(), (name) => LANGUAGE_NAMES[name], choose);
    list("themes", THEMES, kept("theme") ?? "auto", (name) => say(`theme_${name}`), (name) => {
      keep("theme", name);
      paint(name);
      this.#offer();
    });
    list("cameras", ["", ...this.#cameras], this.#camera, (name) => name || say("any_camera"), (name) => {
      this.#camera = name;
      this.chosen.camera(name);
      this.#offer();
    });
  }

  /** @param {string} name */
  #use(name) {
    if (!name) return;
    this.operator = name;
    keep("operator", name);
    this.chosen.operator(name);
    this.#offer();
  }
}

/**
 * Who judges to begin with: as last chosen on this device, if the station still knows the name.
 * @param {import("./types.js").Setup} setup
 * @param {string | null} last
 * @returns {string}
 */
export function firstOperator({ operator, operators }, last) {
  if (!last || (operators.length > 0 && !operators.includes(last))) return operator;
  return last;
}

/** As chosen on this device; before anything else, so that nothing flashes. */
export function paintTheme() {
  paint(kept("theme") ?? "auto");
}

/** @param {string} theme */
function paint(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

/**
 * @template {string} Name
 * @param {string} id
 * @param {Name[]} names
 * @param {string} now
 * @param {(name: Name) => string} text
 * @param {(name: Name) => void} chosen
 */
function list(id, names, now, text, chosen) {
  byId(id).replaceChildren(
    ...names.map((name) => {
      const button = choice(text(name), "", () => chosen(name));
      button.setAttribute("aria-pressed", String(name === now));
      return button;
    }),
  );
}
