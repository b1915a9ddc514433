/** Modal dialogs on the browser's own <dialog>: focus trap, Escape, focus return. */

import {fill, h, uniqueId} from "./dom.js"
import {errorNotice} from "./ui.js"

export class Discarded extends Error {
	constructor(latest) {
		super()
		this.latest = latest
	}
}

export const topDialog = () => [...document.querySelectorAll("dialog[open]")].at(-1)

/**
 * Ask for a decision, and carry it out while the dialog is open: on an error the dialog stays, with all input. Resolves
 * to the result of `action`, or undefined if the user cancels.
 */
export function ask({title, content, confirm, danger = false, cancel = "Cancel", valid, action, failed}) {
	const heading = uniqueId("dialog")
	const opener = document.activeElement
	const messages = h("div.messages")
	const submit = h(`button.button.${danger ? "danger" : "primary"}`, {type: "submit"}, confirm)
	const stop = h("button.button", {type: "button"}, cancel)
	const buttons = h("div.actions.end", stop, submit)
	const form = h("form", {novalidate: true}, h("h2", {id: heading}, title), content, messages, buttons)
	const dialog = h("dialog", {"aria-labelledby": heading}, form)
	return new Promise((resolve, reject) => {
		let running = false
		let finish = () => resolve()
		const setRunning = value => {
			running = value
			for (const each of [submit, stop]) each.toggleAttribute("disabled", value)
		}
		stop.addEventListener("click", () => dialog.close())
		dialog.addEventListener("cancel", event => running && event.preventDefault())
		form.addEventListener("submit", async event => {
			event.preventDefault()
			if (running || (valid && !valid())) return
			setRunning(true)
			fill(messages)
			try {
				const result = action ? await action() : true
				finish = () => resolve(result)
				dialog.close()
			} catch (error) {
				setRunning(false)
				if (error instanceof Discarded) {
					finish = () => reject(error)
					dialog.close()
					return
				}
				fill(messages, failed ? failed(error) : errorNotice(error))
				submit.focus()
			}
		})
		dialog.addEventListener("close", () => {
			for (const each of dialog.querySelectorAll("input, textarea")) each.value = ""
			dialog.remove()
			if (opener?.isConnected) opener.focus()
			finish()
		})
		document.body.append(dialog)
		dialog.showModal()
		;(form.querySelector("input, textarea") ?? (danger ? stop : submit)).focus()
	})
}
