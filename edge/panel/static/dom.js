// Making elements. Text only ever enters the page as text: nothing here, or anywhere, parses HTML.
// @ts-check

const SVG = "http://www.w3.org/2000/svg";

/**
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`no element #${id}`);
  return found;
}

/**
 * @param {string} id
 * @returns {HTMLDialogElement}
 */
export function dialog(id) {
  return /** @type {HTMLDialogElement} */ (byId(id));
}

/**
 * @param {string} tag
 * @param {string} [className]
 * @param {string} [text]
 * @returns {HTMLElement}
 */
export function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

/**
 * @param {string} tag
 * @param {Readonly<Record<string, string | number>>} attributes
 * @returns {SVGElement}
 */
export function makeSvg(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  return element;
}

/**
 * One of the symbols in index.html.
 * @param {string} name
 * @returns {SVGElement}
 */
export function icon(name) {
  const svg = makeSvg("svg", { "aria-hidden": "true" });
  svg.append(makeSvg("use", { href: `#i-${name}` }));
  return svg;
}

/**
 * A button of a list of choices.
 * @param {string} text
 * @param {string} key shown on it; "" for none
 * @param {() => void} chosen
 * @returns {HTMLButtonElement}
 */
export function choice(text, key, chosen) {
  const button = /** @type {HTMLButtonElement} */ (make("button", "act"));
  button.type = "button";
  button.append(make("span", "", text));
  if (key) button.append(make("kbd", "", key));
  button.addEventListener("click", chosen);
  return button;
}
