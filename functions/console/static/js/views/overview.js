/** The overview: which services are configured, and whether they work. */

import {verify} from "../changes.js"
import {h, icon, isObject} from "../dom.js"
import {count, keyHref, mask, time} from "../format.js"
import {button, facts, notice, region, statusChip} from "../ui.js"

const ORDER = ["rejected", "disabled", "unverified", "operational", "not_configured"]

export function overview(app, {signal}) {
	const content = region(
		signal,
		"Loading the services …",
		() => app.api.services(signal),
		answer => {
			const services = answer.data.filter(each => isObject(each) && typeof each.service === "string")
			app.rememberServices(services)
			return render(app, services, answer.incomplete)
		}
	)
	const heading = h("div.page-head", h("h1", "Services"), button("Store a key", "#/store", "plus", "primary"))
	return {title: "Overview", reload: content.reload, element: h("div", heading, content)}
}

function render(app, services, incomplete) {
	const rank = ({status}) => ORDER.indexOf(status)
	const byStatus = [...services].sort((one, other) => rank(one) - rank(other) || titleOf(one).localeCompare(titleOf(other)))
	const configured = byStatus.filter(each => each.status !== "not_configured")
	const others = services.filter(each => each.status === "not_configured")
	const rejected = configured.filter(each => each.status === "rejected").map(titleOf)
	return [
		rejected.length > 0 &&
			notice(
				"error",
				`${rejected.join(", ")}: the service rejects the key`,
				h("p", "Replace the key: requests with it fail.")
			),
		incomplete && notice("warning", "Not all services are shown, or some counts are too low", h("p", "The list of keys has all of them.")),
		summary(services),
		configured.length > 0
			? h(
					"ul.cards",
					configured.map(each => h("li", card(app, each)))
				)
			: h("p.empty", "No key is stored yet. Choose a service."),
		h("h2", "Not configured"),
		h(
			"ul.cards",
			others.map(each => h("li", tile(each))),
			h("li", otherTile())
		)
	]
}

const titleOf = ({title, service}) => String(title || service)

function summary(services) {
	const counts = ORDER.map(status => [status, services.filter(each => each.status === status).length])
	const item = ([status, number]) => number > 0 && h("li", h("b", number), statusChip(status))
	return h("ul.summary", {"aria-label": "Services by status"}, counts.map(item))
}

function card(app, service) {
	const title = titleOf(service)
	return h(
		`article.card.card-${service.status}`,
		{"aria-label": title},
		h("div.card-head", h("h2", title), statusChip(service.status)),
		h("p.small.muted.service-name", h("code", service.service), !service.known && " · not a known service"),
		facts([...servingFacts(service), ["Keys", keyCounts(service)]]),
		h("div.actions.card-foot", cardActions(app, service, title))
	)
}

const storeButton = service =>
	button("Store a key", `#/store?service=${service.service}`, "plus", "", `Store a key for ${titleOf(service)}`)

function cardActions(app, service, title) {
	const {serving, status, verifiable} = service
	if (!isObject(serving)) return storeButton(service)
	const kind = status === "rejected" ? "primary" : ""
	return [
		verifiable && button("Verify", () => verify(app, serving, title), "verify", "", `Verify the key of ${title}`),
		button("Replace", `${keyHref(serving)}/replace`, "replace", kind, `Replace the key of ${title}`)
	]
}

const keyCounts = ({service, keys}) => h("a", {href: `#/keys?service=${service}`}, `${count(keys?.total, "key")}, ${keys?.active} active`)

function servingFacts({serving, verifiable}) {
	if (!isObject(serving)) return [["Consumers get", "an error: all keys are disabled"]]
	const {verification} = serving
	const unchecked = h("span.muted", verifiable ? "not verified yet" : "this service offers no verification")
	return [
		["Consumers get", [h("a", {href: keyHref(serving)}, h("b", serving.name)), mask(serving.maskedKey)]],
		["Last used", time(serving.lastUsed)],
		["Verification", verification ? [time(verification.checkedAt), h("span.detail", verification.detail)] : unchecked]
	]
}

function tile(service) {
	const title = titleOf(service)
	return h("article.tile", {"aria-label": title}, h("div", h("h3", title), statusChip(service.status)), storeButton(service))
}

const otherTile = () => h("a.tile.tile-other", {href: "#/store"}, icon("plus"), "Store a key of another service")
