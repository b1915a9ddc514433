/** The page of one key: its fields, the changes that can be made, code for consumers, its history. */

import {CHANGEABLE, disable, editDetails, enable, remove, rollback, verify} from "../changes.js"
import {fill, h, isObject} from "../dom.js"
import {keyHref, keyStatus, mask, time, valueText} from "../format.js"
import {button, facts, notice, paged, region, statusChip} from "../ui.js"

const CHANGES = {create: "Stored", rollback: "Rolled back to the previous value", delete: "Deleted", restore: "Restored"}

export function keyPage(app, {id, signal}) {
	const title = h("h1", "Key")
	const chip = h("span")
	let service = null
	const fetchData = async () => {
		const [{data}, services] = await Promise.all([app.api.get(id, signal), app.services().catch(() => new Map())])
		service = services.get(data.service) ?? null
		return data
	}
	const render = key => {
		fill(title, key.name)
		fill(chip, statusChip(keyStatus(key)))
		app.setTitle(key.name)
		return details(app, key, service)
	}
	const content = region(signal, "Loading the key …", fetchData, render)
	const fetchPage = cursor => app.api.history(id, {limit: 20, ...cursor}, signal)
	const timeline = paged(signal, "Loading the history …", fetchPage, items => h("ol.timeline", items.map(entry)))
	return {
		title: "Key",
		changed(key) {
			content.show(key)
			timeline.reload()
		},
		element: h(
			"div.view",
			h("div", h("a.crumb", {href: "#/keys"}, "All keys"), h("div.title", title, chip)),
			content,
			panel("History", timeline)
		)
	}
}

const panel = (title, ...content) => h("section.panel", {"aria-label": title}, h("h2", title), content)

function details(app, key, service) {
	const {verification} = key
	return [
		actions(app, key, service),
		verification?.status === "rejected" && notice("error", "The service rejects this key. Replace it.", h("p", verification.detail)),
		h("div.columns", panel("Details", fields(key, service)), panel("Use it in your code", snippets(key, service)))
	]
}

function actions(app, key, service) {
	const title = service?.title || key.service
	const gone = response => response && app.go("#/deleted", document.querySelector("#notices .notice"))
	return h(
		"div.actions",
		{role: "group", "aria-label": "Actions"},
		service?.verifiable && button("Verify", () => verify(app, key, title), "verify"),
		button("Replace", `${keyHref(key)}/replace`, "replace"),
		key.previousKey && button("Roll back", () => rollback(app, key), "undo"),
		key.active ? button("Disable", () => disable(app, key), "disabled") : button("Enable", () => enable(app, key), "ok"),
		button("Edit", () => editDetails(app, key), "edit"),
		button("Delete", () => remove(app, key).then(gone), "trash", "danger")
	)
}

function fields(key, service) {
	const {verification} = key
	const by = (iso, name, subject) => [time(iso), h("span.detail", {title: subject}, `by ${name ?? subject}`)]
	const unchecked = h("span.muted", service && !service.verifiable ? "this service offers none" : "not verified yet")
	const checked = verification && [time(verification.checkedAt), h("span.detail", verification.detail)]
	const {maskedKey: old, replacedAt, replacedBy} = key.previousKey ?? {}
	const serviceLink = h("a", {href: `#/keys?service=${key.service}`}, service?.title || key.service)
	return facts([
		["Service", [serviceLink, h("code.detail", key.service)]],
		["Description", key.description || h("span.muted", "none")],
		["State", key.active ? "Active: consumers can get it" : "Disabled: no consumer gets it"],
		["Secret value", mask(key.maskedKey)],
		["Value stored", time(key.keyUpdatedAt)],
		["Previous value", old ? [mask(old), h("span.detail", "until ", time(replacedAt), ` by ${replacedBy}`)] : h("span.muted", "none")],
		["Last used", time(key.lastUsed)],
		["Verification", checked ?? unchecked],
		["Created", by(key.createdAt, key.createdByName, key.createdBy)],
		["Changed", by(key.updatedAt, key.updatedByName, key.updatedBy)],
		["Version", key.version],
		["Id", h("code", key.id)]
	])
}

function snippets(key, service) {
	return [
		h("p", "Consumers get the newest active key of the service. Read it each time: a cached read makes no AWS call."),
		snippet("Python", pythonSnippet(key)),
		snippet("SAM template", samSnippet(key, service)),
		h("p.small.muted", "service-keys: the name of the stack.")
	]
}

function pythonSnippet({service, name, maskedKey}) {
	const text = value => JSON.stringify(value)
	const read = isObject(maskedKey)
		? [`key = get_api_key(${text(service)})`, ...Object.keys(maskedKey).map(each => `key[${text(each)}]`)]
		: [`get_api_key(${text(service)}).value`]
	const named = ["# This key, even if the service has a newer one:", `get_api_key(${text(service)}, name=${text(name)})`]
	return ["from service_keys import get_api_key", "", ...read, "", ...named].join("\n")
}

function samSnippet({service: name}, service) {
	const policy = service?.known ? name.charAt(0).toUpperCase() + name.slice(1) : "All"
	const comment = service?.known ? "" : "    # This policy is for the keys of all services; of one: docs/consumers.md.\n"
	return `MyFunction:
  Type: AWS::Serverless::Function
  Properties:
    Layers: ["{{resolve:ssm:/service-keys/layer-arn}}"]
    Policies: [{Fn::ImportValue: service-keys-Read${policy}KeysPolicyArn}]
${comment}    Environment:
      Variables:
        SERVICE_KEYS_TABLE: {Fn::ImportValue: service-keys-TableName}`
}

function snippet(title, text) {
	const done = h("span.small.muted", {role: "status"})
	const write = () =>
		navigator.clipboard.writeText(text).then(
			() => fill(done, "Copied"),
			() => fill(done, "Select the text")
		)
	const copy = button("Copy", write, "", "quiet", `Copy the ${title} code`)
	const code = h("pre", {tabindex: "0", role: "region", "aria-label": `${title} code`}, h("code", text))
	return h("div", h("div.snippet-head", h("h3", title), h("div", done, copy)), code)
}

function entry({change, fields: named, at, by, byName, requestId, version, before, after}) {
	const [old, now] = [isObject(before) ? before : {}, isObject(after) ? after : {}]
	const compared = before && after ? Object.entries(CHANGEABLE).filter(([name]) => name in old || name in now) : []
	const difference = ([name, label]) => h("li", `${label}: `, h("del", valueText(old[name])), " → ", h("ins", valueText(now[name])))
	return h(
		"li",
		h("p", h("b", CHANGES[change] ?? `Changed: ${valueText(named)}`), " ", time(at), ` by ${byName ?? by}`),
		compared.length > 0 && h("ul.small", compared.map(difference)),
		h("p.small.muted", `Version ${version} · request `, h("code", requestId))
	)
}
