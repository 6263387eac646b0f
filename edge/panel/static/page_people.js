// Operators: how much, how quickly, and how often two who judged the same thing agreed. No ranking: in order of names.
// @ts-check
import { read } from "./api.js";
import { make } from "./dom.js";
import { say } from "./i18n.js";
import { hoursBar, percent } from "./page_figures.js";
import { figure, intervalRow, splitRow } from "./plot.js";

/**
 * @typedef {{name: string, clicks: number, seconds: number | null, minutes: number, confirmed: number, rejected: number,
 *   unsure: number, taken_back: number, compared: number, agreed: number, agreement: number | null, low: number | null,
 *   high: number | null}} Person
 */

let hours = "168";

/**
 * @param {import("./types.js").Setup} setup
 * @returns {import("./book.js").Page}
 */
export function peoplePage(setup) {
  return {
    name: "people",
    shown: ({ login, who }) => !login || who?.role !== "viewer",
    draw: async (root) => {
      const body = make("div", "figures");
      root.append(hoursBar(hours, (name) => {
        hours = name;
        void fill(body, setup);
      }), body);
      await fill(body, setup);
    },
  };
}

/**
 * @param {HTMLElement} body
 * @param {import("./types.js").Setup} setup
 */
async function fill(body, setup) {
  /** @type {{people: Person[]}} */
  const { people } = await read(`/api/people?hours=${hours}`);
  const cards = people.map((person) => {
    const words = [say("clicks", { clicks: person.clicks }), ...(person.seconds === null ? [] : [say("per_click", { seconds: person.seconds })])];
    const split = make("ul", "rows");
    const answers = make("li");
    answers.append(
      make("strong", "", say("answers_split")),
      splitRow([{ kind: "defect", value: person.confirmed }, { kind: "healthy", value: person.rejected }, { kind: "unsure", value: person.unsure }]),
      make("span", "", `${person.confirmed} · ${person.rejected} · ${person.unsure}`),
    );
    const agree = make("li");
    agree.append(
      make("strong", "", say("agreement")),
      intervalRow({ share: person.agreement, low: person.low, high: person.high }),
      make("span", "", person.agreement === null ? say("agreement_none") : `${percent(person.agreement)} · ${say("of_settled", { right: person.agreed, all: person.compared })}`),
    );
    split.append(answers, agree);
    return figure(person.name, words.join(" · "), split);
  });
  const own = setup.who?.role === "operator" ? [make("p", "hint", say("own_only"))] : [];
  body.replaceChildren(...own, ...(cards.length > 0 ? cards : [make("p", "hint", say("no_answers"))]));
}
