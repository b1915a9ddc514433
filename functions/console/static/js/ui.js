/** Parts that several views use: statuses, notices, errors, loading states, countdowns. */

import { ApiError } from "./api.js";
import { fill, h, icon } from "./dom.js";
import { clock } from "./format.js";

const STATUSES = {
  operational: ["Operational", "ok"],
  rejected: ["Rejected", "rejected"],
  unverified: ["Unverified", "unverified"],
  disabled: ["Disabled", "disabled"],
  not_configured: ["Not configured", "none"],
};
const NOTICE_ICONS = { success: "ok", warning: "warning", error: "warning", info: "info" };

/**
 * Create a status: a label, a colour and an icon.
 * @param {string} status
 * @returns {HTMLElement}
 */
export function statusChip(status) {
  const [label, symbol] = STATUSES[status] ?? [String(status), "none"];
  return h("span", { class: `chip chip-${symbol}` }, icon(symbol), label);
}

/**
 * Create a button.
 * @param {string} label
 * @param {(event: Event) => unknown} action A second press while its promise is pending does nothing.
 * @param {{kind?: "primary"|"danger"|"quiet", symbol?: string, name?: string}} [look] `name`: the accessible name, which
 *   begins with the label.
 * @returns {HTMLButtonElement}
 */
export function button(label, action, { kind = "", symbol = "", name = "" } = {}) {
  const element = h("button", { type: "button", class: `button ${kind}`, "aria-label": name || null }, symbol && icon(symbol), label);
  element.addEventListener("click", (event) => busy(element, () => action(event)));
  return element;
}

/**
 * Create a link that looks like a button.
 * @param {string} label
 * @param {string} href
 * @param {{kind?: string, symbol?: string, name?: string}} [look]
 * @returns {HTMLElement}
 */
export function linkButton(label, href, { kind = "", symbol = "", name = "" } = {}) {
  return h("a", { class: `button ${kind}`, href, "aria-label": name || null }, symbol && icon(symbol), label);
}

/**
 * Run an action once at a time. The button stays focusable, because a disabled one would lose the focus.
 * @param {HTMLElement} element
 * @param {() => unknown} action
 */
export async function busy(element, action) {
  if (element.getAttribute("aria-disabled") === "true") return;
  element.setAttribute("aria-disabled", "true");
  element.setAttribute("aria-busy", "true");
  try {
    await action();
  } finally {
    element.removeAttribute("aria-disabled");
    element.removeAttribute("aria-busy");
  }
}

/**
 * Create a notice.
 * @param {"success"|"warning"|"error"|"info"} kind
 * @param {string} title
 * @param {unknown[]} content
 * @param {HTMLElement[]} [actions]
 * @returns {HTMLElement}
 */
export function notice(kind, title, content = [], actions = []) {
  return h(
    "div",
    { class: `notice notice-${kind}` },
    icon(NOTICE_ICONS[kind]),
    h("div", { class: "notice-body" }, h("p", { class: "notice-title" }, title), content, actions.length > 0 && h("div", { class: "actions" }, actions)),
  );
}

/**
 * Describe a failed request, with a way to try again.
 * @param {unknown} error
 * @param {(() => unknown)|null} [retry]
 * @returns {HTMLElement}
 */
export function errorNotice(error, retry = null) {
  const known = error instanceof ApiError;
  const text = known ? error.message : "The page could not show this. Try again, or reload the page.";
  const details = known ? error.details.map(({ field, message }) => h("li", {}, `${field}: ${message}`)) : [];
  const id = known && error.requestId;
  const content = [details.length > 0 && h("ul", {}, details), id && h("p", { class: "small muted" }, "Request ", h("code", {}, id))];
  const element = notice("error", text, content, retry ? [button("Try again", retry)] : []);
  element.setAttribute("role", "alert");
  return element;
}

/**
 * Load data into a region: a loading state first, then the data, or the error with a way to try again.
 * @template T
 * @param {AbortSignal} signal Aborted when the view is left.
 * @param {string} what The text of the loading state.
 * @param {() => Promise<T>} fetchData
 * @param {(data: T) => unknown} render Return the nodes to show.
 * @param {(error: unknown) => Node|null} [failed] Return the node to show for an error, or null for the usual one.
 * @returns {HTMLElement & {reload: () => Promise<void>, show: (data: T) => void}} `show` renders data of another
 *   request, such as the response to a change.
 */
export function region(signal, what, fetchData, render, failed) {
  const element = h("div", { class: "region" });
  element.show = (data) => signal.aborted || fill(element, render(data));
  element.reload = async () => {
    element.setAttribute("aria-busy", "true");
    if (!element.hasChildNodes()) fill(element, h("p", { class: "muted loading" }, what));
    try {
      element.show(await fetchData());
    } catch (error) {
      if (!signal.aborted) fill(element, failed?.(error) ?? errorNotice(error, element.reload));
    }
    element.removeAttribute("aria-busy");
  };
  element.reload();
  return element;
}

/**
 * Count down to the time by which all consumers act on a change.
 * @param {number} seconds From now.
 * @returns {HTMLElement}
 */
export function countdown(seconds) {
  const end = Date.now() + Math.round(seconds) * 1000;
  const left = h("span", { "aria-hidden": "true" });
  const element = h("p", { class: "countdown" }, `All consumers act on this by ${clock(end)}`, left);
  const tick = () => {
    const remaining = Math.ceil((end - Date.now()) / 1000);
    if (remaining <= 0) fill(element, "All consumers act on this now.");
    else left.textContent = ` (in ${remaining} s)`;
    if (remaining <= 0 || !element.isConnected) clearInterval(timer);
  };
  const timer = setInterval(tick, 1000);
  left.textContent = ` (in ${Math.round(seconds)} s)`;
  return element;
}

/**
 * Wait for a number of seconds, with a visible countdown and a way to go on at once.
 * @param {Element} place
 * @param {string} text
 * @param {number|null} seconds Null to wait until the browser is online.
 * @param {AbortSignal} [signal]
 * @returns {Promise<boolean>} False if the user gives up or leaves the view.
 */
export function waitVisibly(place, text, seconds, signal) {
  return new Promise((resolve) => {
    const end = Date.now() + (seconds ?? 0) * 1000;
    const left = h("span", { "aria-hidden": "true" }, seconds === null ? "" : ` in ${seconds} s`);
    const finish = (goOn) => {
      clearInterval(timer);
      removeEventListener("online", online);
      element.remove();
      resolve(goOn);
    };
    const online = () => finish(true);
    const element = notice("warning", text, [h("p", {}, seconds === null ? "Trying again once you are online." : "Trying again", left)], [
      button("Try again now", () => finish(true)),
      button("Cancel", () => finish(false), { kind: "quiet" }),
    ]);
    const timer = setInterval(() => {
      const remaining = Math.ceil((end - Date.now()) / 1000);
      if (seconds !== null && remaining <= 0) finish(true);
      else if (seconds !== null) left.textContent = ` in ${remaining} s`;
    }, 250);
    addEventListener("online", online);
    signal?.addEventListener("abort", () => finish(false), { once: true });
    place.append(element);
  });
}

/**
 * Create a list of terms and descriptions; pairs without a description are left out.
 * @param {[string, unknown][]} pairs
 * @param {string} [kind]
 * @returns {HTMLElement}
 */
export function facts(pairs, kind = "facts") {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== false);
  return h("dl", { class: kind }, shown.map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value))));
}

/**
 * Create a table that becomes a list on a narrow screen. Its roles are explicit, because `display: block` removes them.
 * @param {string} caption For screen readers.
 * @param {string[]} columns
 * @param {unknown[][][]} rows The content of each cell; the first cell of a row is its header.
 * @returns {{element: HTMLElement, body: HTMLElement, row: (cells: unknown[]) => HTMLElement}}
 */
export function dataTable(caption, columns) {
  const body = h("tbody", { role: "rowgroup" });
  const headings = columns.map((each) => h("th", { scope: "col", role: "columnheader" }, each));
  const element = h(
    "table",
    { class: "table", role: "table" },
    h("caption", { class: "hidden" }, caption),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, headings)),
    body,
  );
  const row = ([first, ...others]) =>
    h(
      "tr",
      { role: "row" },
      h("th", { scope: "row", role: "rowheader" }, first),
      others.map((cell, index) => h("td", { role: "cell", "data-label": columns[index + 1] }, h("div", {}, cell))),
    );
  return { element, body, row };
}
