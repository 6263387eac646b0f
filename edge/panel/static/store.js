// Small things this device remembers. A browser may refuse (private mode, full); the page then works without.
// @ts-check

const PREFIX = "lineside.";

/**
 * @param {string} name
 * @returns {string | null}
 */
export function kept(name) {
  try {
    return localStorage.getItem(PREFIX + name);
  } catch {
    return null;
  }
}

/**
 * @param {string} name
 * @param {string | null} value null forgets
 * @returns {boolean} whether it is really kept
 */
export function keep(name, value) {
  try {
    if (value === null) localStorage.removeItem(PREFIX + name);
    else localStorage.setItem(PREFIX + name, value);
    return true;
  } catch {
    return false;
  }
}

/**
 * Names that begin like this, without the page's own prefix.
 * @param {string} start
 * @returns {string[]}
 */
export function names(start) {
  try {
    return Object.keys(localStorage)
      .filter((name) => name.startsWith(PREFIX + start))
      .map((name) => name.slice(PREFIX.length));
  } catch {
    return [];
  }
}

/**
 * Remembered for this tab alone, over a reload.
 * @param {string} name
 * @returns {string | null}
 */
export function keptHere(name) {
  try {
    return sessionStorage.getItem(PREFIX + name);
  } catch {
    return null;
  }
}

/**
 * @param {string} name
 * @param {string} value
 */
export function keepHere(name, value) {
  try {
    sessionStorage.setItem(PREFIX + name, value);
  } catch {
    // Only the undo history over a reload is lost.
  }
}

/** A new key: crypto.randomUUID exists only on https and localhost, random numbers everywhere. @returns {string} */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
