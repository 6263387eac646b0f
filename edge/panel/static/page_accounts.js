// Accounts, for an admin: who may log in, and as what.
// @ts-check
import { read, write } from "./api.js";
import { make } from "./dom.js";
import { onHold } from "./hold.js";
import { say } from "./i18n.js";
import { labelled } from "./page_history.js";

/** @typedef {{accounts: {name: string, role: string}[]}} AccountsAnswer */

const ROLES = ["viewer", "operator", "engineer", "admin"];

/** @returns {import("./book.js").Page} */
export function accountsPage() {
  return {
    name: "accounts",
    shown: ({ who }) => who?.role === "admin",
    draw: async (root) => {
      const list = make("ul", "rows accounts");
      const told = make("p", "hint");
      told.setAttribute("role", "status");
      /** @param {AccountsAnswer} answer */
      const show = ({ accounts }) => list.replaceChildren(...accounts.map((account) => row(account, act)));
      /** @param {string} path @param {object} body @param {string} word @returns {Promise<boolean>} */
      const act = async (path, body, word) => {
        try {
          show(await write(path, body));
          told.textContent = word;
          return true;
        } catch (error) {
          told.textContent = say("refused", { why: error instanceof Error && error.message ? error.message : say("lost") });
          return false;
        }
      };
      show(await read("/api/accounts"));
      root.append(list, form(act), make("p", "hint", say("account_hint")), told);
    },
  };
}

/** @typedef {(path: string, body: object, word: string) => Promise<boolean>} Act */

/**
 * @param {{name: string, role: string}} account
 * @param {Act} act
 */
function row({ name, role }, act) {
  const item = make("li");
  const button = /** @type {HTMLButtonElement} */ (make("button", "act hold"));
  button.type = "button";
  button.append(make("span", "", say("remove")));
  button.setAttribute("aria-label", `${say("remove")} ${name}`);
  onHold(button, () => void act("/api/accounts/remove", { name }, say("account_removed", { name })));
  item.append(make("strong", "", name), make("span", "", say(`role_${role}`)), button);
  return item;
}

/** @param {Act} act */
function form(act) {
  const box = make("form", "filters");
  const name = /** @type {HTMLInputElement} */ (make("input"));
  name.maxLength = 64;
  name.name = "account-name";
  name.autocomplete = "off";
  const secret = /** @type {HTMLInputElement} */ (make("input"));
  secret.type = "password";
  secret.maxLength = 128;
  secret.name = "account-secret";
  secret.autocomplete = "new-password";
  const role = /** @type {HTMLSelectElement} */ (make("select"));
  role.name = "account-role";
  for (const word of ROLES) {
    const option = /** @type {HTMLOptionElement} */ (make("option", "", say(`role_${word}`)));
    option.value = word;
    option.selected = word === "operator";
    role.append(option);
  }
  const save = /** @type {HTMLButtonElement} */ (make("button", "act", say("save_account")));
  save.type = "submit";
  box.append(labelled("name", name), labelled("role", role), labelled("pin", secret), save);
  box.addEventListener("submit", (event) => {
    event.preventDefault();
    const body = { name: name.value.trim(), role: role.value, secret: secret.value };
    void act("/api/accounts", body, say("account_saved", { name: body.name })).then((done) => {
      secret.value = "";
      if (done) name.value = "";
    });
  });
  return box;
}
