/** The sign-in page, and the page of a signed-in user who is not an administrator. */

import {SignInError} from "../auth.js"
import {fill, h} from "../dom.js"
import {textField} from "../forms.js"
import {button, notice} from "../ui.js"

export function signInView(app, error, signedIn) {
	const messages = h("div.messages", {role: "alert"}, error && signInError(error))
	const attempt = async run => {
		fill(messages)
		try {
			await run()
		} catch (failure) {
			fill(messages, signInError(failure))
		}
	}
	const form =
		app.auth.mode === "oidc"
			? h(
					"div.actions",
					button("Sign in", () => attempt(() => app.auth.signIn(location.hash)), "", "primary")
				)
			: tokenForm(app, attempt, signedIn)
	const text = h("p.muted", "Administer the API keys of external services. A reload signs you out.")
	return {title: "Sign in", element: h("div.panel.narrow", h("h1", "Sign in"), text, messages, form)}
}

function tokenForm(app, attempt, signedIn) {
	const token = tokenField()
	const submit = h("button.button.primary", {type: "submit"}, "Sign in")
	const form = h("form.stack", {novalidate: true}, token.element, h("div.actions", submit))
	form.addEventListener("submit", event => {
		event.preventDefault()
		if (!token.validate(true)) return
		attempt(() => {
			app.auth.useToken(token.input.value)
			token.input.value = ""
			signedIn()
		})
	})
	return form
}

export const tokenField = () =>
	textField({
		label: "Token",
		type: "password",
		name: "token",
		required: true,
		hint: "An administrator's access token (a JWT). Locally, make token prints one."
	})

export const signInError = error =>
	notice("error", error instanceof SignInError ? error.message : "The sign-in failed. Try again.")

export function forbiddenView(app) {
	const signOut = button("Sign out", () => app.auth.signOut(), "", "primary")
	const text = h("p", `${app.auth.name} is not an administrator of Service Keys.`)
	return {title: "Not an administrator", element: h("div.panel.narrow", h("h1", "No access"), text, h("div.actions", signOut))}
}
