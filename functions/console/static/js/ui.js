/** Parts that several views use: buttons, notices, errors, loading states, tables. */

import {ApiError} from "./api.js"
import {fill, h, icon, isObject} from "./dom.js"
import {clock} from "./format.js"

const STATUSES = {
	operational: ["Operational", "ok"],
	rejected: ["Rejected", "rejected"],
	unverified: ["Unverified", "unverified"],
	disabled: ["Disabled", "disabled"],
	not_configured: ["Not configured", "none"]
}
const NOTICE_ICONS = {success: "ok", info: "info"}

export function statusChip(status) {
	const [label, symbol] = STATUSES[status] ?? [status, "none"]
	return h(`span.chip.chip-${symbol}`, icon(symbol), label)
}

/** Create a button, or a link that looks like one if `action` is an address. `name`: the accessible name. */
export function button(label, action, symbol = "", kind = "", name = null) {
	const link = typeof action === "string"
	const attributes = {"aria-label": name, ...(link ? {href: action} : {type: "button"})}
	const element = h(`${link ? "a" : "button"}.button.${kind || "plain"}`, attributes, symbol && icon(symbol), label)
	if (!link) element.addEventListener("click", () => busy(element, action))
	return element
}

/** Run an action once at a time. The button stays focusable, because a disabled one loses the focus. */
export async function busy(element, action) {
	if (element.ariaDisabled) return
	element.ariaDisabled = true
	try {
		await action()
	} finally {
		element.ariaDisabled = null
	}
}

export function notice(kind, title, content = [], actions = []) {
	const buttons = [actions].flat().filter(Boolean)
	const body = h("div.notice-body", h("p.notice-title", title), content, buttons.length > 0 && h("div.actions", buttons))
	return h(`div.notice.notice-${kind}`, icon(NOTICE_ICONS[kind] ?? "warning"), body)
}

export function errorNotice(error, retry = null) {
	const known = error instanceof ApiError
	const details = known ? error.details.map(({field, message}) => h("li", `${field}: ${message}`)) : []
	const content = [
		details.length > 0 && h("ul", details),
		known && error.requestId && h("p.small.muted", "Request ", h("code", error.requestId))
	]
	const text = known ? error.message : "The page could not show this. Try again."
	const element = notice("error", text, content, retry ? [button("Try again", retry)] : [])
	element.setAttribute("role", "alert")
	return element
}

/** Load data into an element with `reload()`, and with `show(data)` for data of another request. */
export function region(signal, loading, fetchData, render) {
	const element = h("div.region")
	element.show = data => signal.aborted || fill(element, render(data))
	element.reload = async () => {
		element.ariaBusy = true
		if (!element.hasChildNodes()) fill(element, h("p.muted.loading", loading))
		try {
			element.show(await fetchData())
		} catch (error) {
			if (!signal.aborted) fill(element, errorNotice(error, element.reload))
		}
		element.ariaBusy = null
	}
	element.reload()
	return element
}

/** Load a list that the API returns in pages. `draw` gets the entries so far, and whether there are more. */
export function paged(signal, loading, fetchPage, draw) {
	let items
	let next
	const load = async () => {
		const answer = await fetchPage(next ? {cursor: next} : {})
		items.push(...answer.data.filter(isObject))
		next = answer.pagination?.nextCursor
	}
	const list = h("div.stack")
	const error = h("div")
	const more = button("Load more", async () => {
		fill(error)
		try {
			await load()
			element.redraw()
		} catch (failure) {
			fill(error, errorNotice(failure, element.reload))
		}
	})
	const start = () => {
		;[items, next] = [[], null]
		return load()
	}
	const element = region(signal, loading, start, () => (element.redraw(), [list, error, more]))
	element.redraw = () => {
		fill(list, draw(items, Boolean(next)))
		more.hidden = !next
	}
	return element
}

function countSeconds(seconds, tick) {
	const end = Date.now() + seconds * 1000
	const timer = setInterval(() => tick(Math.ceil((end - Date.now()) / 1000)) && clearInterval(timer), 500)
	tick(seconds)
}

export function countdown(seconds) {
	const left = h("span", {"aria-hidden": "true"})
	const element = h("p.countdown", `All consumers act on this by ${clock(Date.now() + seconds * 1000)}`, left)
	countSeconds(Math.round(seconds), remaining => {
		if (remaining <= 0) fill(element, "All consumers act on this now.")
		else left.textContent = ` (in ${remaining} s)`
		return remaining <= 0
	})
	return element
}

/** Wait visibly for some seconds (null: until the browser is online). Resolves to false if the user gives up. */
export function waitVisibly(place, text, seconds, signal) {
	return new Promise(resolve => {
		const left = h("span", {"aria-hidden": "true"})
		const finish = goOn => {
			removeEventListener("online", online)
			element.remove()
			resolve(goOn)
		}
		const online = () => finish(true)
		const actions = [button("Try again now", online), button("Cancel", () => finish(false), "", "quiet")]
		const element = notice("warning", text, h("p", "Trying again", seconds ? left : " once you are online"), actions)
		place.append(element)
		addEventListener("online", online)
		signal?.addEventListener("abort", () => finish(false), {once: true})
		if (!seconds) return
		countSeconds(seconds, remaining => {
			left.textContent = ` in ${remaining} s`
			if (remaining <= 0 && element.isConnected) finish(true)
			return remaining <= 0 || !element.isConnected
		})
	})
}

export const facts = pairs =>
	h(
		"dl.facts",
		pairs.map(([term, value]) => h("div", h("dt", term), h("dd", value)))
	)

/** Create a table, a list on a narrow screen. Its roles are explicit, because `display: block` removes them. */
export function dataTable(caption, columns, rows) {
	const row = ([first, ...others]) =>
		h(
			"tr",
			{role: "row"},
			h("th", {scope: "row", role: "rowheader"}, first),
			others.map((cell, index) => h("td", {role: "cell", "data-label": columns[index + 1]}, h("div", cell)))
		)
	const headings = columns.map(each => h("th", {scope: "col", role: "columnheader"}, each))
	return h(
		"table.table",
		{role: "table"},
		h("caption.hidden", caption),
		h("thead", {role: "rowgroup"}, h("tr", {role: "row"}, headings)),
		h("tbody", {role: "rowgroup"}, rows.map(row))
	)
}
