/** Store a new key, and replace the secret value of a stored one. */

import {UNUSED, activeKeys, disable, discardedNotice, lastUse, outcome, rollback, verify, withVersion} from "../changes.js"
import {ask, Discarded} from "../dialogs.js"
import {fill, h, isObject} from "../dom.js"
import {keyHref, mask, valueText} from "../format.js"
import {checkbox, descriptionField, inputForm, nameField, secretEditor, textField} from "../forms.js"
import {serviceProblem, trim} from "../rules.js"
import {button, notice, region} from "../ui.js"

export function storeKey(app, {query, signal, draft}) {
	const typed = draft ?? {service: query.get("service")}
	let form = null
	const content = region(
		signal,
		"Loading the services …",
		() => app.services(),
		services => {
			form = storeForm(app, services, typed)
			return form.element
		}
	)
	return {title: "Store a key", draft: () => form?.draft() ?? typed, element: h("div.view", h("h1", "Store a key"), content)}
}

function storeForm(app, services, typed) {
	const service = textField({
		label: "Service",
		name: "service",
		value: typed.service ?? "",
		required: true,
		check: serviceProblem,
		hint: "Functions read the key by this word. It never changes.",
		attributes: {list: "services", autocapitalize: "off", spellcheck: "false"}
	})
	const options = [...services.values()].map(each => h("option", {value: each.service}, each.title))
	service.element.append(h("datalist", {id: "services"}, options))
	const name = nameField(typed.name, "Unique, for people; it can be changed.")
	const description = descriptionField(typed.description)
	const active = checkbox({label: "Active", name: "active", checked: typed.active ?? true})
	const about = h("div")
	const secret = h("div")
	let editor = null
	let format
	let suggested = ""
	let idempotencyKey = null

	const chooseService = () => {
		const known = services.get(service.input.value)
		fill(about, serviceNote(known, service.input.value))
		const suggestion = known && !known.keys?.total ? known.title : ""
		if (name.input.value === suggested) name.input.value = suggestion
		suggested = suggestion
		const next = known?.known ? known : null
		if (editor && format === next) return
		format = next
		editor = secretEditor({fields: next?.fields ?? []})
		fill(secret, editor.element)
	}
	chooseService()
	service.input.addEventListener("input", chooseService)

	const send = async () => {
		// The same key for a retry after a lost answer; another one after any change of the form.
		idempotencyKey ??= crypto.randomUUID()
		const response = await app.api.create(
			{
				name: trim(name.input.value),
				service: service.input.value,
				description: trim(description.input.value) || null,
				active: active.input.checked,
				key: editor.value()
			},
			idempotencyKey
		)
		editor.clear()
		stored(app, response, services)
	}
	const element = inputForm({
		label: "New key",
		content: [service.element, about, name.element, secret, description.element, active.element],
		submit: "Store",
		cancel: "#/",
		validators: [service, name, description, {validate: () => editor.validate()}],
		confirm: () => !active.input.checked || confirmServing(app, service.input.value, trim(name.input.value)),
		send,
		fields: () => ({service, name, description, ...editor.fields()})
	})
	for (const event of ["input", "change"]) element.addEventListener(event, () => (idempotencyKey = null))
	const draft = () => ({
		service: service.input.value,
		name: name.input.value,
		description: description.input.value,
		active: active.input.checked
	})
	return {element, draft}
}

function serviceNote(known, name) {
	if (isObject(known?.serving)) {
		const text = "They get a new active key instead. To change the value of the present key, replace it."
		const replace = button("Replace it instead", `${keyHref(known.serving)}/replace`)
		return notice("info", `Consumers of ${known.title} get “${known.serving.name}” now`, h("p", text), [replace])
	}
	const unknown = name && !known?.known && !serviceProblem(name)
	return unknown && h("p.small.muted", `${name} is not a known service: its format is not checked, and it cannot be verified.`)
}

async function confirmServing(app, service, name) {
	const [serving] = (await activeKeys(app, service)) ?? []
	if (!serving) return true
	const effect = `They get “${serving.name}” (${valueText(serving.maskedKey)}) now, and “${name}” within 60 seconds, because it is newer.`
	const title = `Let consumers of ${service} get the new key?`
	return ask({title, content: [h("p", effect), lastUse(serving)], confirm: "Store the new key"})
}

const verifyButton = (app, key, service) =>
	service?.verifiable && button("Verify now", () => verify(app, key, service.title), "verify", "primary")

function stored(app, response, services) {
	const {data, warnings = []} = response
	const actions = [
		verifyButton(app, data, services.get(data.service)),
		warnings.some(({code}) => code === "SERVING_CHANGED") && button("Disable the new key", () => disable(app, data), "undo")
	]
	app.go(keyHref(data), outcome(`“${data.name}” is stored`, response, actions))
}

export function replaceKey(app, {id, signal, draft}) {
	const title = h("h1", "Replace a key")
	let form = null
	const fetchData = () => Promise.all([app.api.get(id, signal), app.services()])
	const content = region(signal, "Loading the key …", fetchData, ([{data}, services]) => {
		fill(title, `Replace “${data.name}”`)
		app.setTitle(`Replace ${data.name}`)
		form = replaceForm(app, data, services.get(data.service), draft)
		return form.element
	})
	return {
		title: "Replace a key",
		draft: () => form?.draft() ?? draft,
		element: h("div.view", h("div", h("a.crumb", {href: keyHref({id})}, "Back to the key"), title), content)
	}
}

function replaceForm(app, key, service, typed) {
	const names = isObject(key.maskedKey) ? Object.keys(key.maskedKey) : []
	const editor = secretEditor({fields: service?.fields ?? [], names, update: true})
	const leaked = checkbox({
		label: "This key leaked",
		name: "leaked",
		checked: typed?.leaked,
		hint: "The present value is removed, so that no rollback can bring it back."
	})
	const steps = h("div", leakSteps(service))
	const showSteps = () => (steps.hidden = !leaked.input.checked)
	leaked.input.addEventListener("change", showSteps)
	showSteps()
	const send = async () => {
		const body = {key: editor.value(), ...(leaked.input.checked && {keepPrevious: false})}
		const replace = version => app.api.replace(key.id, version, body)
		try {
			const response = await withVersion(app, key, [["Secret value", "the new value"]], replace)
			app.go(keyHref(key), replaced(app, response, service, leaked.input.checked))
		} catch (error) {
			if (!(error instanceof Discarded)) throw error
			app.go(keyHref(key), discardedNotice())
		}
		editor.clear()
	}
	const element = inputForm({
		label: "New value",
		content: [
			h("p", "Give the whole new value. The present one is never shown; its mask: ", mask(key.maskedKey)),
			editor.element,
			leaked.element,
			steps
		],
		submit: "Replace",
		cancel: keyHref(key),
		validators: [editor],
		confirm: () => confirmReplacement(key, leaked.input.checked),
		send,
		fields: editor.fields
	})
	return {element, draft: () => ({leaked: leaked.input.checked})}
}

function confirmReplacement(key, leaked) {
	const effect = key.active ? "Consumers that use this key get the new value within 60 seconds." : UNUSED
	const rest = leaked ? "removed: a rollback is not possible" : "kept as the previous one, for a rollback"
	return ask({
		title: `Replace “${key.name}”?`,
		content: [h("p", effect), h("p", `The present value is ${rest}.`), lastUse(key)],
		confirm: "Replace",
		danger: leaked
	})
}

function replaced(app, response, service, leaked) {
	const {data} = response
	const undo = data.previousKey && button("Roll back", () => rollback(app, data), "undo")
	const actions = [verifyButton(app, data, service), undo]
	return outcome(`“${data.name}” has a new value`, response, actions, leaked && leakSteps(service))
}

function leakSteps(service) {
	const title = service?.title ?? "the service"
	const steps = [
		`Revoke the leaked value at ${title}: until then it works.`,
		`Check the usage and the bill at ${title} for calls that are not yours.`,
		"Remove the value from the place where it leaked, and replace other secrets that were there."
	]
	return [
		h("p", h("b", "Further steps after a leak")),
		h(
			"ol.steps",
			steps.map(each => h("li", each))
		)
	]
}
