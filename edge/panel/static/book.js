// The pages beside the judging, one at a time in one dialog. Each page draws itself into a root and asks for its data;
// here is only which one is open.
// @ts-check
import { byId, dialog, make } from "./dom.js";
import { say } from "./i18n.js";
import { listen } from "./keys.js";
import { Told } from "./told.js";

/** @typedef {{name: string, shown: (who: import("./types.js").Setup) => boolean, draw: (root: HTMLElement) => Promise<void>}} Page */

export class Book {
  #dialog = dialog("book");
  #told = new Told("book-told");
  /** @type {Page[]} */
  #pages;
  /** @type {Page} */
  #open;
  #turn = 0;

  /**
   * @param {readonly Page[]} pages
   * @param {import("./types.js").Setup} setup
   */
  constructor(pages, setup) {
    this.#pages = pages.filter((page) => page.shown(setup));
    this.#open = this.#pages[0];
    byId("book-open").addEventListener("click", () => this.open());
    byId("book-close").addEventListener("click", () => this.#dialog.close());
    document.addEventListener("language", () => {
      if (this.#dialog.open) void this.#draw();
    });
    /** @type {Record<string, () => void>} */
    const keys = {};
    this.#pages.forEach((page, index) => (keys[String(index + 1)] = () => void this.#turnTo(page)));
    listen(this.#dialog, keys);
  }

  open() {
    if (this.#dialog.open) return;
    this.#dialog.showModal();
    void this.#draw();
  }

  /** Draws the open page anew, after something on it was changed. */
  async refresh() {
    if (this.#dialog.open) await this.#draw();
  }

  /** @param {Page} page */
  async #turnTo(page) {
    this.#open = page;
    await this.#draw();
  }

  async #draw() {
    const turn = ++this.#turn;
    const focused = !byId("book-page").contains(document.activeElement);
    byId("book-tabs").replaceChildren(
      ...this.#pages.map((page, index) => {
        const button = /** @type {HTMLButtonElement} */ (make("button", "act"));
        button.type = "button";
        button.id = `page-${page.name}`;
        button.append(make("span", "", say(`page_${page.name}`)), make("kbd", "", String(index + 1)));
        button.setAttribute("aria-pressed", String(page === this.#open));
        button.addEventListener("click", () => void this.#turnTo(page));
        return button;
      }),
    );
    if (focused) byId(`page-${this.#open.name}`).focus();
    const root = make("div", `page page-${this.#open.name}`);
    this.#told.tell("saving", say("loading_page"));
    try {
      await this.#open.draw(root);
      if (turn !== this.#turn) return;
      byId("book-page").replaceChildren(root);
      byId("book-page").scrollTop = 0;
      this.#told.tell("idle", "");
    } catch (error) {
      if (turn === this.#turn) this.#told.tell("refused", error instanceof Error && error.message ? error.message : say("lost"));
    }
  }
}
