/** Format the API's values for people: times, masks, counts and statuses. */

import { h, isObject } from "./dom.js";

const UNITS = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
];
const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "always" });
const EXACT = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

/**
 * Describe a time relative to now, such as "5 minutes ago" or "in 3 days".
 * @param {string} iso
 * @param {number} [now] Milliseconds.
 * @returns {string}
 */
export function relative(iso, now = Date.now()) {
  const seconds = (Date.parse(iso) - now) / 1000;
  if (Number.isNaN(seconds)) return "at an unknown time";
  const [unit, length] = UNITS.find(([, each]) => Math.abs(seconds) >= each) ?? [];
  return unit ? RELATIVE.format(Math.trunc(seconds / length), unit) : seconds > 0 ? "in less than a minute" : "just now";
}

/**
 * Describe the time that is left, such as "6 days left".
 * @param {string} iso
 * @returns {string}
 */
export function left(iso) {
  const text = relative(iso);
  return text.startsWith("in ") ? `${text.slice(3)} left` : "no time left";
}

/**
 * Describe a time exactly: local time with its zone, and UTC.
 * @param {string} iso
 * @returns {string}
 */
export function exact(iso) {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return "unknown";
  return `${EXACT.format(date)} local time (${date.toISOString().slice(0, 19).replace("T", " ")} UTC)`;
}

/**
 * Format the local time of day.
 * @param {number} milliseconds
 * @returns {string}
 */
export function clock(milliseconds) {
  return CLOCK.format(milliseconds);
}

/**
 * Create a time that shows how long ago it is and, on request, the exact local time and UTC.
 * @param {string|null|undefined} iso
 * @param {"ago"|"left"} [style] `left` for the end of a period.
 * @returns {Node}
 */
export function time(iso, style = "ago") {
  if (typeof iso !== "string") return h("span", { class: "muted" }, "never");
  const text = h("time", { datetime: iso, "data-relative": style });
  text.textContent = describe(text, style);
  const button = h("button", { type: "button", class: "time", title: exact(iso), "aria-expanded": "false" }, text);
  button.addEventListener("click", () => {
    const open = text.hasAttribute("data-relative");
    if (open) text.removeAttribute("data-relative");
    else text.setAttribute("data-relative", style);
    text.textContent = open ? exact(iso) : describe(text, style);
    button.setAttribute("aria-expanded", String(open));
  });
  return button;
}

/** Bring the relative times of the page up to date. */
export function refreshTimes() {
  for (const each of document.querySelectorAll("time[data-relative]")) each.textContent = describe(each, each.dataset.relative);
}

function describe(element, style) {
  return style === "left" ? left(element.dateTime) : relative(element.dateTime);
}

/**
 * Create the mask of a secret value; one line for each field.
 * @param {string|Record<string, string>} masked
 * @returns {Node}
 */
export function mask(masked) {
  if (!isObject(masked)) return h("code", { class: "mask" }, masked ?? "unknown");
  const lines = Object.entries(masked).map(([name, text]) =>
    h("span", { class: "mask-line" }, h("span", { class: "muted" }, name), " ", h("code", { class: "mask" }, text)),
  );
  return h("span", { class: "masks" }, lines);
}

/**
 * Describe a mask in one line of text.
 * @param {string|Record<string, string>} masked
 * @returns {string}
 */
export function maskText(masked) {
  if (!isObject(masked)) return String(masked);
  return Object.entries(masked).map(([name, text]) => `${name} ${text}`).join(", ");
}

/**
 * Format a count with its noun.
 * @param {number} number
 * @param {string} noun
 * @returns {string}
 */
export function count(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/**
 * Return the status of a key, in the words of the services' statuses.
 * @param {{active: boolean, verification: {status: string}|null}} key
 * @returns {string}
 */
export function keyStatus(key) {
  if (!key.active) return "disabled";
  return { valid: "operational", rejected: "rejected" }[key.verification?.status] ?? "unverified";
}

/**
 * Return the address of a key's page.
 * @param {{id: string}} key
 * @returns {string}
 */
export function keyHref({ id }) {
  return `#/keys/${encodeURIComponent(id)}`;
}

/**
 * Name the administrator of a change.
 * @param {string|null} name The readable name.
 * @param {string} subject The claim `sub`.
 * @returns {string}
 */
export function person(name, subject) {
  return name ?? subject ?? "unknown";
}
