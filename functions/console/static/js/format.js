/** Format the API's values for people: times, masks, counts, statuses. */

import {h, isObject} from "./dom.js"

const UNITS = Object.entries({year: 31_536_000, month: 2_592_000, day: 86_400, hour: 3600, minute: 60})
const RELATIVE = new Intl.RelativeTimeFormat("en")
const EXACT = new Intl.DateTimeFormat("en-GB", {dateStyle: "medium", timeStyle: "medium"})
const CLOCK = new Intl.DateTimeFormat("en-GB", {timeStyle: "medium"})

export function relative(iso, now = Date.now()) {
	const seconds = (Date.parse(iso) - now) / 1000
	if (Number.isNaN(seconds)) return "at an unknown time"
	const [unit, length] = UNITS.find(([, each]) => Math.abs(seconds) >= each) ?? []
	return unit ? RELATIVE.format(Math.round(seconds / length), unit) : seconds > 0 ? "in less than a minute" : "just now"
}

export function exact(iso) {
	const date = new Date(iso)
	if (Number.isNaN(date.getTime())) return "unknown"
	return `${EXACT.format(date)} local time (${date.toISOString().slice(0, 19).replace("T", " ")} UTC)`
}

export const clock = milliseconds => CLOCK.format(milliseconds)

export function time(iso, style = "ago") {
	if (typeof iso !== "string") return h("span.muted", "never")
	const text = h("time", {datetime: iso})
	const button = h("button.time", {type: "button", title: exact(iso)}, text)
	const show = open => {
		text.dataset.style = open ? "exact" : style
		text.textContent = describe(text)
		button.ariaExpanded = open
	}
	button.addEventListener("click", () => show(text.dataset.style !== "exact"))
	show(false)
	return button
}

function describe({dateTime, dataset: {style}}) {
	if (style === "exact") return exact(dateTime)
	const text = relative(dateTime)
	if (style === "ago") return text
	return text.startsWith("in ") ? `${text.slice(3)} left` : "no time left"
}

export function refreshTimes() {
	for (const each of document.querySelectorAll("time[data-style]")) each.textContent = describe(each)
}

export function mask(masked) {
	if (!isObject(masked)) return h("code.mask", masked ?? "unknown")
	const line = ([name, text]) => h("span", h("span.muted", name), " ", h("code.mask", text))
	return h("span.masks", Object.entries(masked).map(line))
}

export function valueText(value) {
	if (value === null || value === undefined || value === "") return "none"
	if (typeof value === "boolean") return value ? "yes" : "no"
	if (Array.isArray(value)) return value.join(", ")
	return isObject(value)
		? Object.entries(value)
				.map(pair => pair.join(" "))
				.join(", ")
		: String(value)
}

export const count = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`

export function keyStatus({active, verification}) {
	if (!active) return "disabled"
	return {valid: "operational", rejected: "rejected"}[verification?.status] ?? "unverified"
}

export const keyHref = ({id}) => `#/keys/${encodeURIComponent(id)}`
