/** Start the console: configuration, sign-in, router. */

import {createApi} from "./api.js"
import {createAuth} from "./auth.js"
import {ask, topDialog} from "./dialogs.js"
import {fill, h} from "./dom.js"
import {refreshTimes} from "./format.js"
import {button, notice, waitVisibly} from "./ui.js"
import {deletedKeys} from "./views/deleted.js"
import {keyPage} from "./views/key.js"
import {keys} from "./views/keys.js"
import {overview} from "./views/overview.js"
import {forbiddenView, signInError, signInView, tokenField} from "./views/signin.js"
import {replaceKey, storeKey} from "./views/store.js"

/**
 * Views by the path in the fragment. A view gets the app and the route, and returns `title`, `element` and optionally
 * `draft()` (the typed values without secrets, which the route has after a new sign-in), `reload()` and `changed(key)`.
 */
const ROUTES = {
	"/": overview,
	"/keys": keys,
	"/keys/:id": keyPage,
	"/keys/:id/replace": replaceKey,
	"/store": storeKey,
	"/deleted": deletedKeys
}
const byId = id => document.getElementById(id)

class App {
	#view = null
	#controller = new AbortController()
	#services = null
	#keepNotice = false
	#signingIn = null

	constructor(auth) {
		this.auth = auth
		this.api = createApi(new URL("../api/v1/admin/", location.href), auth, {
			unauthorized: error => this.#signInAgain(error),
			forbidden: () => this.#forbid(),
			wait: (error, signal) => this.#wait(error, signal),
			version: text => text && fill(byId("version"), `Version ${text}`)
		})
	}

	show({draft = null, error = null} = {}) {
		this.#controller.abort()
		this.#controller = new AbortController()
		if (!this.#keepNotice) fill(byId("notices"))
		this.#keepNotice = false
		const [path, query] = (location.hash.slice(1) || "/").split("?")
		const route = {query: new URLSearchParams(query), signal: this.#controller.signal, draft}
		this.#mount(this.auth.signedIn ? this.#find(path, route) : signInView(this, error, () => this.show()))
		for (const link of byId("nav").children) {
			const current = link.hash === `#${path}` || (link.hash === "#/keys" && path.startsWith("/keys/"))
			link.ariaCurrent = current ? "page" : null
		}
	}

	#find(path, route) {
		for (const [pattern, view] of Object.entries(ROUTES)) {
			const match = new RegExp(`^${pattern.replace(":id", "([\\w.-]+)")}$`).exec(path)
			if (match) return view(this, {...route, id: match[1]})
		}
		const text = h("p", h("a", {href: "#/"}, "Go to the overview"))
		return {title: "Not found", element: h("div.panel.narrow", h("h1", "There is no such page"), text)}
	}

	#mount(view) {
		this.#view = view
		this.setTitle(view.title)
		for (const id of ["nav", "account"]) byId(id).hidden = !this.auth.signedIn
		const signOut = button("Sign out", () => this.auth.signOut(), "", "quiet")
		fill(byId("account"), h("span.account-name", this.auth.name), signOut)
		fill(byId("view"), view.element)
		scrollTo(0, 0)
		this.#focusHeading()
	}

	#focusHeading() {
		const heading = byId("view").querySelector("h1")
		heading.tabIndex = -1
		heading.focus({preventScroll: true})
	}

	go(hash, message) {
		this.notify(message)
		this.#keepNotice = true
		if (location.hash === hash) this.show()
		else location.hash = hash
	}

	/** Let the view show a changed key: at once, so that the next change names its new version. */
	changed(key) {
		if (this.#view.changed) this.#view.changed(key)
		else this.#view.reload?.()
		if (document.activeElement === document.body) this.#focusHeading()
	}

	setTitle(title) {
		document.title = `${title} · Service Keys`
	}

	notify(message) {
		const wrapper = h(
			"div.dismissible",
			message,
			button("Dismiss", () => wrapper.remove(), "", "quiet")
		)
		fill(byId("notices"), wrapper)
		wrapper.scrollIntoView({block: "nearest"})
	}

	/** Return the services by name. Fetched once: formats and titles do not change while the page is open. */
	async services() {
		if (!this.#services) this.rememberServices((await this.api.services()).data)
		return this.#services
	}

	rememberServices(services) {
		this.#services = new Map(services.map(each => [each.service, each]))
	}

	#forbid() {
		topDialog()?.close()
		this.#controller.abort()
		this.#mount(forbiddenView(this))
	}

	async #wait(error, signal) {
		const offline = error.code === "OFFLINE"
		const place = topDialog()?.querySelector(".messages") ?? byId("waiting")
		if (!(await waitVisibly(place, error.message, offline ? null : error.retryAfter, signal))) throw error
	}

	/** Sign in again in a dialog, which all requests that fail at the same time share. */
	async #signInAgain(error) {
		this.#signingIn ??= this.#askForSignIn().finally(() => (this.#signingIn = null))
		if (!(await this.#signingIn)) throw error
	}

	#askForSignIn() {
		const pasted = this.auth.mode === "token" && tokenField()
		const rest = pasted
			? "Everything that you typed stays."
			: "You return to this page with everything that you typed, except secret values."
		return ask({
			title: "Sign in again",
			content: [h("p", "Your sign-in has ended, or the API does not accept it. ", rest), pasted && pasted.element],
			confirm: "Sign in again",
			valid: () => !pasted || pasted.validate(true),
			failed: signInError,
			action: async () => {
				if (pasted) return this.auth.useToken(pasted.input.value) ?? true
				await this.auth.signIn(location.hash, this.#view.draft?.())
				return new Promise(() => {}) // The browser leaves the page.
			}
		})
	}
}

async function start() {
	const signal = AbortSignal.timeout(30_000)
	const config = await fetch("config.json", {cache: "no-store", signal}).then(response => response.json()).catch(() => null)
	if (!["oidc", "token"].includes(config?.signIn)) {
		const text = "The console's configuration cannot be loaded. Check your connection, then try again."
		fill(byId("view"), h("h1", "Service Keys"), notice("error", text, [], [button("Try again", () => location.reload())]))
		return
	}
	const app = new App(createAuth(config))
	const outcome = await app.auth.complete().then(
		draft => ({draft}),
		error => ({error})
	)
	addEventListener("hashchange", () => app.show())
	app.show(outcome)
}

byId("skip").addEventListener("click", event => {
	event.preventDefault()
	byId("main").focus()
})
setInterval(refreshTimes, 30_000)
start()
