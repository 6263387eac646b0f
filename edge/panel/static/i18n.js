// Which language the page speaks, and filling it in. A word with an unknown name shows its name, so it is noticed.
// @ts-check
import { LANGUAGES, WORDS } from "./words.js";
import { PAGE_WORDS } from "./words_pages.js";
import { keep, kept } from "./store.js";

/** @typedef {import("./words.js").Language} Language */

/** @type {Language} */
let language = "en";

/**
 * The language to begin with: chosen on this device, else the browser's, else the station's.
 * @param {readonly string[]} browser as navigator.languages
 * @param {string | null} chosen
 * @param {string} station
 * @returns {Language}
 */
export function firstLanguage(browser, chosen, station) {
  const wanted = [chosen ?? "", ...browser.map((tag) => tag.slice(0, 2).toLowerCase()), station];
  for (const item of wanted) {
    const known = LANGUAGES.find((one) => one === item);
    if (known !== undefined) return known;
  }
  return "en";
}

/** @param {string} station the language of the station's settings */
export function begin(station) {
  speak(firstLanguage(navigator.languages, kept("language"), station));
}

/** @param {Language} chosen */
export function choose(chosen) {
  keep("language", chosen);
  speak(chosen);
}

/** @returns {Language} */
export function spoken() {
  return language;
}

/** @param {Language} chosen */
function speak(chosen) {
  language = chosen;
  document.documentElement.lang = chosen;
  for (const element of document.querySelectorAll("[data-word]")) {
    element.textContent = say(/** @type {HTMLElement} */ (element).dataset.word ?? "");
  }
  for (const element of document.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", say(/** @type {HTMLElement} */ (element).dataset.label ?? ""));
  }
  document.dispatchEvent(new Event("language"));
}

/**
 * @param {string} name
 * @param {Readonly<Record<string, string | number>>} [values]
 * @returns {string}
 */
export function say(name, values = {}) {
  const row = WORDS[name] ?? PAGE_WORDS[name];
  const text = row === undefined ? name : row[LANGUAGES.indexOf(language)];
  return text.replace(/\{(\w+)\}/g, (whole, key) => (key in values ? String(values[key]) : whole));
}
