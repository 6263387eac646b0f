// Who is working? Names as large buttons, a keypad for the PIN; a password is typed. Covers the page until the station
// has let somebody in, then loads it anew: nothing of the one before stays on the screen.
// @ts-check
import { Refused, write } from "./api.js";
import { byId, choice, dialog, make } from "./dom.js";
import { choose, say, spoken } from "./i18n.js";
import { keepHere, kept, keep } from "./store.js";
import { Told } from "./told.js";
import { LANGUAGE_NAMES, LANGUAGES } from "./words.js";

const PAD = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "⌫", "0", "✓"];

export class Login {
  #dialog = dialog("login");
  #name = /** @type {HTMLInputElement} */ (byId("login-name"));
  #secret = /** @type {HTMLInputElement} */ (byId("login-secret"));
  #told = new Told("login-told");
  #asking = false;

  /** @param {import("./types.js").Setup} setup */
  constructor(setup) {
    this.setup = setup;
    this.#dialog.addEventListener("cancel", (event) => event.preventDefault());
    byId("login-form").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#try();
    });
    byId("login-pad").replaceChildren(
      ...PAD.map((key) => {
        const button = choice(key, "", () => this.#press(key));
        if (key === "⌫") button.dataset.label = "delete_digit";
        if (key === "✓") button.dataset.label = "log_in";
        return button;
      }),
    );
    this.#name.addEventListener("input", () => this.#offer());
    document.addEventListener("language", () => this.#offer());
  }

  /** Asks; the page comes back by itself when somebody was let in. @returns {Promise<never>} */
  ask() {
    if (!this.#dialog.open) {
      this.#name.value = kept("name") ?? "";
      this.#secret.value = "";
      this.#offer();
      this.#dialog.showModal();
      this.#focus();
      if (this.setup.no_accounts) this.#told.tell("note", say("no_accounts"));
    }
    return new Promise(() => {});
  }

  #offer() {
    byId("login-names").replaceChildren(
      ...this.setup.offered.map((name) => {
        const button = choice(name, "", () => {
          this.#name.value = name;
          this.#offer();
          this.#secret.value = "";
          this.#focus();
        });
        button.setAttribute("aria-pressed", String(name === this.#name.value));
        return button;
      }),
    );
    byId("login-languages").replaceChildren(
      ...LANGUAGES.map((name) => {
        const button = choice(LANGUAGE_NAMES[name], "", () => choose(name));
        button.setAttribute("aria-pressed", String(name === spoken()));
        return button;
      }),
    );
    for (const button of byId("login-pad").querySelectorAll("[data-label]")) {
      button.setAttribute("aria-label", say(/** @type {HTMLElement} */ (button).dataset.label ?? ""));
    }
  }

  /** Where there are keys; on a touch screen a focus would bring up a keyboard and cover the keypad. */
  #focus() {
    if (matchMedia("(pointer: coarse)").matches) byId("login-title").focus();
    else (this.#name.value ? this.#secret : this.#name).focus();
  }

  /** @param {string} key */
  #press(key) {
    if (key === "✓") void this.#try();
    else if (key === "⌫") this.#secret.value = this.#secret.value.slice(0, -1);
    else this.#secret.value += key;
  }

  async #try() {
    const name = this.#name.value.trim();
    if (this.#asking || !name || !this.#secret.value) return;
    this.#asking = true;
    this.#told.tell("saving", say("logging_in"));
    try {
      const who = await write("/api/login", { name, secret: this.#secret.value });
      if (kept("name") !== who.name) keepHere("history", "[]");
      keep("name", who.name);
      location.reload();
    } catch (error) {
      const wait = error instanceof Refused ? Number(error.details.wait_seconds ?? 0) : 0;
      const why = error instanceof Refused ? (wait > 0 ? say("wait_seconds", { seconds: Math.ceil(wait) }) : say("wrong_pin")) : say("lost");
      this.#told.tell("refused", why);
      this.#secret.value = "";
      this.#asking = false;
    }
  }
}

/** Logs out; what this browser has not delivered yet stays in it. */
export async function logout() {
  try {
    await write("/api/logout", {});
  } finally {
    keepHere("history", "[]");
    location.reload();
  }
}

/**
 * Who is logged in, for the settings.
 * @param {import("./types.js").Setup} setup
 */
export function showWho({ login, who }) {
  byId("who").hidden = !login;
  if (who !== null) byId("who-name").replaceChildren(make("span", "", who.name), make("small", "", say(`role_${who.role}`)));
}
