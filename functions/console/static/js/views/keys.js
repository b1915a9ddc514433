/** The list of keys: filters by the API, search over the loaded pages. */

import {fill, h} from "../dom.js"
import {count, keyHref, keyStatus, mask, time} from "../format.js"
import {checkbox, select} from "../forms.js"
import {button, dataTable, paged, statusChip} from "../ui.js"

const PAGE_SIZE = 50
const STATES = [
	["", "Active and disabled"],
	["true", "Active"],
	["false", "Disabled"]
]
const RESULTS = [
	["", "Any result"],
	["valid", "Accepted"],
	["rejected", "Rejected"],
	["inconclusive", "Inconclusive"],
	["none", "Not verified"]
]
const ALL = ["", "All services"]

export function keys(app, {query, signal}) {
	const chosen = query.get("service")
	const filters = {
		service: select("Service", "service", chosen ? [ALL, [chosen, chosen]] : [ALL], chosen),
		active: select("State", "active", STATES, query.get("active")),
		verification: select("Verification", "verification", RESULTS, query.get("verification"))
	}
	const unused = checkbox({label: "Never used", name: "unused", checked: query.get("unused") === "true"})
	const search = h("input", {
		type: "search",
		id: "search",
		autocomplete: "off",
		placeholder: "Name, id, service, description",
		value: query.get("q") ?? ""
	})
	const form = h(
		"form.filters",
		{role: "search", "aria-label": "Filter the keys"},
		h("div.field", h("label", {for: "search"}, "Search"), search),
		Object.values(filters).map(({element}) => element),
		unused.element
	)
	const results = h("div")
	let controller
	let list

	const apiFilters = () =>
		Object.fromEntries(
			Object.entries(filters)
				.map(([name, {input}]) => [name, input.value])
				.filter(([, value]) => value)
		)
	const reload = () => {
		controller?.abort()
		controller = new AbortController()
		const either = AbortSignal.any([signal, controller.signal])
		const fetchPage = cursor => app.api.list({...apiFilters(), limit: PAGE_SIZE, ...cursor}, either)
		list = paged(either, "Loading the keys …", fetchPage, (items, more) => draw(items, more, search.value, unused.input.checked))
		fill(results, list)
	}
	/** Keep the filters in the address, so that it can be shared and survives a new sign-in. */
	const remember = () => {
		const kept = new URLSearchParams(apiFilters())
		if (search.value) kept.set("q", search.value)
		if (unused.input.checked) kept.set("unused", "true")
		history.replaceState(null, "", `#/keys${kept.size > 0 ? `?${kept}` : ""}`)
	}
	const redraw = () => {
		remember()
		if (list.firstChild?.matches(".stack")) list.redraw()
	}

	form.addEventListener("submit", event => event.preventDefault())
	for (const input of [search, unused.input]) input.addEventListener("input", redraw)
	for (const {input} of Object.values(filters)) {
		input.addEventListener("change", () => {
			remember()
			reload()
		})
	}
	offerServices(app, filters.service, chosen)
	reload()
	const actions = button("Store a key", "#/store", "plus", "primary")
	return {title: "Keys", reload, element: h("div.view", h("div.page-head", h("h1", "Keys"), actions), form, results)}
}

async function offerServices(app, control, chosen) {
	const services = await app.services().catch(() => new Map())
	const titles = new Map(chosen ? [[chosen, chosen]] : [])
	for (const {service, title} of services.values()) titles.set(service, String(title || service))
	control.setOptions([ALL, ...[...titles].sort((one, other) => one[1].localeCompare(other[1]))])
}

function draw(items, more, text, unused) {
	const words = text.toLowerCase().split(/\s+/).filter(Boolean)
	const found = items.filter(key => {
		const searched = `${key.name} ${key.id} ${key.service} ${key.description ?? ""}`.toLowerCase()
		return (!unused || key.lastUsed === null) && words.every(word => searched.includes(word))
	})
	const scope = more ? "; load more to search in the others" : ", which are all"
	const local = unused || words.length > 0
	const status = local ? `. Searched in the ${items.length} loaded keys${scope}.` : more ? " loaded." : "."
	const none = local ? "None of the loaded keys matches." : "No key was found."
	return [
		found.length > 0
			? dataTable("Keys, newest first", ["Name", "Status", "Secret value", "Last used", "Changed"], found.map(cells))
			: h("p.empty", none),
		h("p.muted", {role: "status"}, `${count(found.length, "key")}${status}`)
	]
}

function cells(key) {
	return [
		[h("a", {href: keyHref(key)}, h("b", key.name)), h("span.small.muted", key.service)],
		[statusChip(keyStatus(key)), key.verification && h("span.small.muted", time(key.verification.checkedAt))],
		mask(key.maskedKey),
		time(key.lastUsed),
		[time(key.updatedAt), h("span.small.muted", key.updatedByName ?? key.updatedBy)]
	]
}
