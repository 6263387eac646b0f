// A button that acts only after it was held: a glove that brushes the screen, or a key hit by mistake, does nothing.
// @ts-check

/** The same time as the filling in parts.css. */
const HOLD_MS = 800;

/**
 * @param {HTMLButtonElement} button
 * @param {() => void} done
 */
export function onHold(button, done) {
  let timer = 0;
  /** @param {Event} event */
  const begin = (event) => {
    event.preventDefault();
    if (button.disabled || timer !== 0) return;
    button.classList.add("holding");
    timer = setTimeout(() => {
      end();
      if (!button.disabled) done();
    }, HOLD_MS);
  };
  const end = () => {
    clearTimeout(timer);
    timer = 0;
    button.classList.remove("holding");
  };
  button.addEventListener("pointerdown", (event) => {
    if (event.button === 0) begin(event);
  });
  for (const name of ["pointerup", "pointercancel", "pointerleave", "blur"]) button.addEventListener(name, end);
  button.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") begin(event);
  });
  button.addEventListener("keyup", end);
  // A long press on a touch screen opens a menu otherwise.
  button.addEventListener("contextmenu", (event) => event.preventDefault());
}
