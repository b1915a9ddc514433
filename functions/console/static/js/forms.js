/** Form fields with labels, hints and messages; the editor for a secret value. */

import {ApiError} from "./api.js"
import {fill, h, icon, uniqueId} from "./dom.js"
import {descriptionProblem, fieldNameProblem, fieldProblem, nameProblem, patternProblem, secretProblems} from "./rules.js"
import {busy, button, errorNotice} from "./ui.js"

/** Attributes that keep browsers and password managers from filling in, storing and correcting a secret value. */
const PRIVATE = {
	autocomplete: "new-password",
	autocapitalize: "off",
	autocorrect: "off",
	spellcheck: "false",
	"data-1p-ignore": "true",
	"data-bwignore": "true",
	"data-form-type": "other",
	"data-lpignore": "true"
}

export function textField({label, name, type = "text", value = "", hint, required, multiline, check, attributes, after}) {
	const id = uniqueId(name)
	const properties = {id, name, required, "aria-describedby": `${id}-hint ${id}-error`, autocomplete: "off", ...attributes}
	const input = multiline ? h("textarea", {rows: 3, ...properties}) : h("input", {type, ...properties})
	input.value = value
	const error = h("p.field-error", {id: `${id}-error`})
	const setError = message => {
		fill(error, message && [icon("warning"), sentence(message)])
		if (message) input.setAttribute("aria-invalid", "true")
		else input.removeAttribute("aria-invalid")
	}
	const problem = () => (input.value ? (check?.(input.value) ?? null) : required ? "give a value" : null)
	// While a value is typed for the first time it is incomplete: its problem is shown once the user leaves the field.
	let complete = value !== ""
	const validate = (focus = false) => {
		complete = true
		const found = problem()
		setError(found)
		if (found && focus) input.focus()
		return !found
	}
	input.addEventListener("input", ({inputType}) => {
		complete ||= inputType === "insertFromPaste"
		setError(complete && input.value ? problem() : null)
	})
	input.addEventListener("blur", () => input.value && validate())
	const element = h(
		"div.field",
		h("label", {for: id}, label, !required && h("span.muted", " (optional)")),
		h("div.control", input, after),
		error,
		h("p.small.muted", {id: `${id}-hint`}, hint)
	)
	return {element, input, setError, validate}
}

export const nameField = (value, hint = "", label = "Name") =>
	textField({label, name: "name", value, required: true, check: nameProblem, hint})

export const descriptionField = value =>
	textField({label: "Description", name: "description", value, multiline: true, check: descriptionProblem})

export function checkbox({label, name, checked = false, hint, group}) {
	const id = uniqueId(name)
	const described = hint && `${id}-hint`
	const type = group ? "radio" : "checkbox"
	const input = h("input", {type, id, name: group ?? name, checked, "aria-describedby": described})
	const text = h("div", h("label", {for: id}, label), hint && h("p.small.muted", {id: described}, hint))
	return {element: h("div.check", input, text), input}
}

export function select(label, name, options, value) {
	const id = uniqueId(name)
	const input = h("select", {id, name})
	const setOptions = pairs => {
		const chosen = input.value || value
		fill(
			input,
			pairs.map(([each, text]) => h("option", {value: each}, text))
		)
		input.value = pairs.some(([each]) => each === chosen) ? chosen : pairs[0][0]
	}
	setOptions(options)
	return {element: h("div.field", h("label", {for: id}, label), input), input, setOptions}
}

/** Show the errors of a request at their fields, by the API's names; return a notice with the rest. */
export function showErrors(error, fields) {
	if (!(error instanceof ApiError)) return errorNotice(error)
	for (const {field, message} of error.details) fields[field]?.setError(message)
	if (error.code === "DUPLICATE_API_KEY_NAME") fields.name?.setError(error.message)
	const details = error.details.filter(({field}) => !fields[field])
	return errorNotice(new ApiError(error.message, {...error, details}))
}

/** Create a form that keeps all input on an error of `send`, and shows it at the `fields`. */
export function inputForm({label, content, submit, cancel, validators, confirm = () => true, send, fields = () => ({})}) {
	const messages = h("div.messages")
	const go = h("button.button.primary", {type: "submit"}, submit)
	const buttons = h("div.actions", go, cancel && button("Cancel", cancel))
	const form = h("form.panel.form", {novalidate: true, "aria-label": label}, content, messages, buttons)
	const showFirst = () => form.querySelector("[aria-invalid=true]")?.focus()
	form.addEventListener("submit", event => {
		event.preventDefault()
		busy(go, async () => {
			fill(messages)
			if (validators.map(each => each.validate()).includes(false)) return showFirst()
			try {
				if (await confirm()) await send()
			} catch (error) {
				fill(messages, showErrors(error, fields()))
				showFirst()
			}
			return undefined
		})
	})
	return form
}

function sentence(message) {
	const text = message.charAt(0).toUpperCase() + message.slice(1)
	return /[.?!]$/.test(text) ? text : `${text}.`
}

function secretField({label, name, required = true, secret = true, multiline = false, check}) {
	const show = h("button.button.quiet", {type: "button", "aria-pressed": "false", "aria-label": `Show ${label}`}, "Show")
	const attributes = {...PRIVATE, "data-secret": true, ...(multiline && {class: "concealed", rows: 6, wrap: "off"})}
	const type = secret ? "password" : "text"
	const field = textField({label, name, required, type, multiline, check, attributes, after: secret && show})
	show.addEventListener("click", () => {
		const open = show.getAttribute("aria-pressed") !== "true"
		show.setAttribute("aria-pressed", open)
		if (multiline) field.input.classList.toggle("concealed", !open)
		else field.input.type = open ? "text" : "password"
	})
	field.input.addEventListener("paste", event => {
		if (multiline || !/[\r\n]/.test(event.clipboardData.getData("text").trim())) return
		// The field would drop the line breaks, and so change the value.
		event.preventDefault()
		field.setError("the pasted text has several lines; paste the value only")
	})
	return field
}

/**
 * Create the editor for a secret value: the `fields` of the service's format or, if it has none or the stored key has
 * other `names`, a choice of forms.
 */
export function secretEditor({fields, names = [], update = false}) {
	const hasFormat = fields.length > 0 && names.every(name => fields.some(field => field.name === name))
	const {element, parts} = hasFormat ? formatEditor(fields, update) : freeEditor(names, update)
	return {
		element,
		value: () => parts().value(),
		fields: () => parts().fields,
		validate() {
			const {all, titles = [], fields: byName, value} = parts()
			if (all.map(field => field.validate()).includes(false)) return false
			const texts = titles.map(field => field.input.value)
			const twice = titles.find((field, index) => texts.indexOf(field.input.value) < index)
			twice?.setError("another field has this name; name each field once")
			const [problem] = twice ? [] : secretProblems(value(), update)
			if (problem) (byName[problem.field] ?? all[0]).setError(problem.message)
			return !twice && !problem
		},
		clear: () => parts().all.forEach(field => (field.input.value = ""))
	}
}

function formatEditor(format, update) {
	const all = format.map(each => {
		const check = text => fieldProblem(text, update) ?? patternProblem(text, each)
		return secretField({...each, name: each.name ?? "key", check})
	})
	const named = format.map(({name, required}, index) => ({name, required, field: all[index]}))
	const filled = () => named.filter(({required, field}) => required || field.input.value)
	const value = () => Object.fromEntries(filled().map(({name, field}) => [name, field.input.value]))
	const single = format[0].name === null && oneValue(all[0])
	const fields = Object.fromEntries(named.map(({name, field}) => [`key.${name}`, field]))
	return (
		single || {
			element: h(
				"div.stack",
				all.map(({element}) => element)
			),
			parts: () => ({all, fields, value})
		}
	)
}

const oneValue = field => ({element: field.element, parts: () => ({all: [field], fields: {key: field}, value: () => field.input.value})})

const SHAPES = {
	one: ["One value", "On one line"],
	lines: ["Several lines", "Such as a PEM file"],
	named: ["Named fields", "Such as an id and a secret"]
}

function freeEditor(names, update) {
	const group = uniqueId("shape")
	const body = h("div")
	const check = text => secretProblems(text, update)[0]?.message ?? null
	let part
	const use = shape => {
		const multiline = shape === "lines"
		part = shape === "named" ? namedFields(names, update) : oneValue(secretField({label: "Secret value", name: "key", multiline, check}))
		fill(body, part.element)
	}
	const first = names.length > 0 ? "named" : "one"
	const radios = Object.entries(SHAPES).map(([shape, [label, hint]]) => {
		const {element, input} = checkbox({label, name: shape, hint, group, checked: shape === first})
		input.addEventListener("change", () => use(shape))
		return element
	})
	use(first)
	const shapes = h("fieldset.shapes", h("legend", "Form of the key"), radios)
	return {element: h("div.stack", shapes, body), parts: () => part.parts()}
}

function namedFields(names, update) {
	const rows = []
	const list = h("div.stack")
	const add = (name = "") => {
		const number = rows.length + 1
		const title = textField({label: `Name of field ${number}`, name: "field", value: name, required: true, check: fieldNameProblem})
		const value = secretField({label: `Value of field ${number}`, name: "value", check: text => fieldProblem(text, update)})
		const row = {title, value}
		const drop = () => {
			rows.splice(rows.indexOf(row), 1)
			element.remove()
			;(rows.at(-1) ?? add()).title.input.focus()
		}
		const remove = button("Remove", drop, "", "quiet", `Remove field ${number}`)
		const element = h("div.named-row", {role: "group", "aria-label": `Field ${number}`}, title.element, value.element, remove)
		rows.push(row)
		list.append(element)
		return row
	}
	;(names.length > 0 ? names : ["", ""]).forEach(name => add(name))
	const more = button("Add a field", () => rows.length < 20 && add().title.input.focus(), "plus")
	const pairs = pick => Object.fromEntries(rows.map(({title, value}) => pick(title.input.value, value)))
	const parts = () => ({
		all: rows.flatMap(({title, value}) => [title, value]),
		titles: rows.map(({title}) => title),
		fields: pairs((name, field) => [`key.${name}`, field]),
		value: () => pairs((name, field) => [name, field.input.value])
	})
	return {element: h("div.stack", list, h("div", more)), parts}
}
