/** Changes of keys: state the effect, ask, send the version with the change, resolve conflicts, report the outcome. */

import {ask, Discarded, topDialog} from "./dialogs.js"
import {h} from "./dom.js"
import {keyHref, relative, time, valueText} from "./format.js"
import {descriptionField, nameField, showErrors, textField} from "./forms.js"
import {trim} from "./rules.js"
import {button, countdown, errorNotice, notice} from "./ui.js"

const PROPAGATION_S = 60
const RESULTS = {valid: ["success", "accepts"], rejected: ["error", "rejects"]}
export const UNUSED = "The key is disabled: no consumer gets it."
export const CHANGEABLE = {name: "Name", description: "Description", active: "Active", maskedKey: "Secret value"}

export async function verify(app, key, title) {
	try {
		const {data} = await app.api.verify(key.id)
		const [kind, answer] = RESULTS[data.verification?.status] ?? ["warning", "gave no clear answer about"]
		app.notify(notice(kind, `${title} ${answer} “${key.name}”`, h("p", data.verification?.detail)))
		app.changed(data)
	} catch (error) {
		app.notify(errorNotice(error))
	}
}

/** Send a change with the version that the user saw. After another administrator's change, let the user decide. */
export async function withVersion(app, key, mine, perform) {
	for (let base = key; ;) {
		try {
			return await perform(base.version)
		} catch (error) {
			if (error.code !== "VERSION_CONFLICT") throw error
			const {data: latest} = await app.api.get(key.id)
			// The answer to an earlier attempt of this request was lost: the change is made.
			const own = error.retried && latest.version === base.version + 1 && latest.updatedBy === app.auth.subject
			if (own) return {data: latest}
			if (!(await askAfterConflict(base, latest, mine))) throw new Discarded(latest)
			base = latest
		}
	}
}

function askAfterConflict(base, latest, mine) {
	const rows = Object.entries(CHANGEABLE)
		.map(([field, label]) => [label, valueText(base[field]), valueText(latest[field])])
		.filter(([, before, now]) => before !== now)
		.map(([label, before, now]) => h("li", `${label}: you saw ${before}, it is ${now} now`))
	// The masks of short values are all the same.
	if (base.keyUpdatedAt !== latest.keyUpdatedAt) rows.push(h("li", "The secret value was replaced"))
	const who = latest.updatedByName ?? latest.updatedBy
	return ask({
		title: "Another administrator changed this key",
		content: [
			h("p", `${who} changed it ${relative(latest.updatedAt)}. Your change is not made yet.`),
			rows.length > 0 ? h("ul", rows) : h("p", "All fields are as before."),
			h("p", h("b", "Your change: "), mine.map(([label, value]) => `${label}: ${valueText(value)}`).join("; "))
		],
		confirm: "Apply my change on top",
		cancel: "Discard mine"
	})
}

export const discardedNotice = () => notice("info", "Your change was discarded. This is the key as it is now.")

/** Make a change and report it; ask first if there is a `question`. */
async function change(app, key, {question, mine, perform, done, undo}) {
	const act = () => withVersion(app, key, typeof mine === "function" ? mine() : mine, perform)
	try {
		const response = await (question ? !topDialog() && ask({...question, action: act}) : act())
		if (!response) return undefined
		app.notify(outcome(done, response, undo?.(response.data)))
		if (!response.data.deletedAt) app.changed(response.data)
		return response
	} catch (error) {
		if (error instanceof Discarded) app.changed(error.latest)
		app.notify(error instanceof Discarded ? discardedNotice() : errorNotice(error))
		return undefined
	}
}

export function outcome(title, response, actions = [], more = []) {
	const {data, warnings = []} = response
	const texts = warnings.map(each => warningText(each, data.id))
	return notice(warnings.length > 0 ? "warning" : "success", title, [more, texts, effective(response)], actions)
}

function warningText({code, message, before, now, similar}, own) {
	const link = (label, key) => key && key.id !== own && [` ${label}: `, h("a", {href: keyHref(key)}, key.name), "."]
	const store = similar && [" ", h("a", {href: `#/store?service=${similar}`}, `Store a key for ${similar}`), "."]
	return h("p", {"data-warning": code}, message, link("Before", before), link("Now", now), store)
}

/** Count down by the server's clock: from the time of the change to `effectiveBy`. */
function effective({data, effectiveBy, warnings = []}) {
	if (!effectiveBy) return warnings.some(each => each.code === "SERVING_CHANGED") && countdown(PROPAGATION_S)
	const seconds = (Date.parse(effectiveBy) - Date.parse(data.deletedAt ?? data.updatedAt)) / 1000
	return countdown(seconds > 0 && seconds <= 600 ? seconds : PROPAGATION_S)
}

/** Return the active keys of a service, the served one first; null if they cannot be read. */
export const activeKeys = (app, service) =>
	app.api.list({service, active: "true", limit: 100}).then(({data}) => data).catch(() => null)

async function lossEffect(app, key) {
	if (!key.active) return h("p", UNUSED)
	const active = await activeKeys(app, key.service)
	if (!active) return h("p", "Consumers get another active key or an error, within 60 seconds.")
	const next = active.find(each => each.id !== key.id)
	if (!next) return h("p.strong", `It is the only active key of ${key.service}: consumers get an error within 60 seconds.`)
	const when = active[0].id === key.id ? "instead, within 60 seconds" : "and keep it"
	return h("p", `Consumers of ${key.service} get “${next.name}” ${when}. Consumers that ask for it by its name get an error.`)
}

export const lastUse = key => h("p", "Last used: ", time(key.lastUsed), ".")

export async function disable(app, key) {
	return change(app, key, {
		question: {title: `Disable “${key.name}”?`, content: [await lossEffect(app, key), lastUse(key)], confirm: "Disable", danger: true},
		mine: [["Active", false]],
		perform: version => app.api.update(key.id, version, {active: false}),
		done: `“${key.name}” is disabled`,
		undo: data => button("Enable again", () => enable(app, data), "undo")
	})
}

export function enable(app, key) {
	return change(app, key, {
		mine: [["Active", true]],
		perform: version => app.api.update(key.id, version, {active: true}),
		done: `“${key.name}” is enabled`
	})
}

/** Delete a key, for some days restorable, or a deleted key at once; confirmed by its name. */
export async function remove(app, key) {
	const permanent = Boolean(key.deletedAt)
	const adverb = permanent ? " permanently" : ""
	const how = `Delete${adverb}`
	const name = textField({
		label: "Type the name of the key to confirm",
		name: "confirmation",
		required: true,
		hint: key.name,
		check: text => (text.normalize() === key.name.normalize() ? null : "this is not the name of the key")
	})
	const effect = permanent
		? h("p.strong", "The key and its secret values are removed at once. They cannot be restored.")
		: [await lossEffect(app, key), h("p", "Its name is free at once. “Deleted” says how long it can be restored.")]
	return change(app, key, {
		question: {
			title: `Delete “${key.name}”${adverb}?`,
			content: [effect, name.element, lastUse(key)],
			confirm: how,
			danger: true,
			valid: () => name.validate(true)
		},
		mine: [[how, true]],
		perform: version => app.api.remove(key.id, version, permanent),
		done: `“${key.name}” is deleted${adverb}`,
		undo: data => data.recoverableUntil && button("Restore", () => restore(app, {...data, version: key.version + 1}), "undo")
	})
}

export async function restore(app, key) {
	try {
		restored(app, await app.api.restore(key.id, key.version))
	} catch (error) {
		if (error.code === "DUPLICATE_API_KEY_NAME") restored(app, await restoreRenamed(app, key))
		else app.notify(errorNotice(error))
	}
}

const restored = (app, response) => response && app.go(keyHref(response.data), outcome(`“${response.data.name}” is restored`, response))

function restoreRenamed(app, key) {
	const name = nameField(`${key.name} (restored)`, "", "New name")
	const text = "Another key has this name by now. Consumers that read the key by its name must change to the new one."
	return ask({
		title: `Restore “${key.name}” under another name`,
		content: [h("p", text), name.element],
		confirm: "Restore",
		valid: () => name.validate(true),
		action: () => app.api.restore(key.id, key.version, {name: trim(name.input.value)}),
		failed: error => showErrors(error, {name})
	})
}

export function rollback(app, key) {
	const effect = key.active ? "Consumers that use this key get the previous value within 60 seconds." : UNUSED
	const [now, previous] = [valueText(key.maskedKey), valueText(key.previousKey.maskedKey)]
	return change(app, key, {
		question: {
			title: `Roll back “${key.name}”?`,
			content: [
				h("p", effect, " The present value becomes the previous one, so that you can return to it."),
				h("p", `Now: ${now}. After the rollback: ${previous}.`),
				lastUse(key)
			],
			confirm: "Roll back"
		},
		mine: [["Roll back to", previous]],
		perform: version => app.api.rollback(key.id, version),
		done: `“${key.name}” has its previous value`
	})
}

export function editDetails(app, key) {
	const name = nameField(key.name, "Consumers that read the key by its name must change with it.")
	const value = key.description ?? ""
	const description = descriptionField(value)
	const changes = () => {
		const [newName, newDescription] = [trim(name.input.value), trim(description.input.value)]
		return {...(newName !== key.name && {name: newName}), ...(newDescription !== value && {description: newDescription || null})}
	}
	const valid = () => {
		if (!name.validate(true) || !description.validate(true)) return false
		if (Object.keys(changes()).length > 0) return true
		name.setError("nothing is changed yet; change a field, or cancel")
		return false
	}
	return change(app, key, {
		question: {
			title: `Edit “${key.name}”`,
			content: [name.element, description.element],
			confirm: "Save",
			valid,
			failed: error => showErrors(error, {name, description})
		},
		mine: () => Object.entries(changes()).map(([field, text]) => [CHANGEABLE[field], text]),
		perform: version => app.api.update(key.id, version, changes()),
		done: "The details are saved"
	})
}
