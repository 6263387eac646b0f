// "What is it then?": the classes as large buttons, numbered.
// @ts-check
import { byId, choice, dialog } from "./dom.js";
import { say } from "./i18n.js";
import { listen } from "./keys.js";

/**
 * Lets the operator choose a class.
 * @param {readonly string[]} classes
 * @returns {Promise<string | null>} "" for a defect of another kind than all of these; null: cancelled
 */
export function chooseClass(classes) {
  const box = dialog("chooser");
  byId("chooser-title").textContent = say("which_class");
  return new Promise((resolve) => {
    /** @type {string | null} */
    let chosen = null;
    /** @type {(name: string) => void} */
    const pick = (name) => {
      chosen = name;
      box.close();
    };
    /** @type {Record<string, () => void>} */
    const keys = { 0: () => pick("") };
    const buttons = classes.map((name, index) => {
      if (index < 9) keys[String(index + 1)] = () => pick(name);
      return choice(name, index < 9 ? String(index + 1) : "", () => pick(name));
    });
    byId("chooser-list").replaceChildren(...buttons, choice(say("no_class"), "0", () => pick("")));
    listen(box, keys);
    byId("chooser-cancel").onclick = () => box.close();
    box.addEventListener("close", () => resolve(chosen), { once: true });
    box.showModal();
  });
}
