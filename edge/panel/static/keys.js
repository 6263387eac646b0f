// The keyboard: digits by position, so that a numeric keypad works in gloves and on any layout. An open dialog has
// the keys for itself.
// @ts-check

/** @typedef {Readonly<Record<string, () => void>>} Keys by "0" to "9", a capital letter, or the name of a key */

/** @type {{dialog: HTMLDialogElement | null, keys: Keys}[]} */
const layers = [];

/**
 * Keys that count while the dialog is open; null: while none is.
 * @param {HTMLDialogElement | null} dialog
 * @param {Keys} keys
 */
export function listen(dialog, keys) {
  const known = layers.find((layer) => layer.dialog === dialog);
  if (known) known.keys = keys;
  else layers.push({ dialog, keys });
}

/**
 * The name of a key: digits and letters by what they are on any layout.
 * @param {KeyboardEvent} event
 * @returns {string}
 */
export function nameOfKey(event) {
  const digit = /^(?:Digit|Numpad)([0-9])$/.exec(event.code);
  if (digit) return digit[1];
  if (event.code === "NumpadAdd") return "+";
  if (event.code === "NumpadSubtract") return "-";
  return event.key.length === 1 ? event.key.toUpperCase() : event.key;
}

document.addEventListener("keydown", (event) => {
  // A held key must not judge the next ten parts.
  if (event.ctrlKey || event.metaKey || event.altKey || event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement) return;
  const name = nameOfKey(event);
  const repeats = name.startsWith("Arrow") || name === "+" || name === "-";
  if (event.repeat && !repeats) return;
  const open = [...document.querySelectorAll("dialog[open]")].at(-1) ?? null;
  const action = layers.find((layer) => layer.dialog === open)?.keys[name];
  if (action === undefined) return;
  event.preventDefault();
  action();
});
