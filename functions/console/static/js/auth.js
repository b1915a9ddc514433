/** Sign in with OpenID Connect: authorization code with PKCE. The access token stays in a closure of this module. */

import {isObject} from "./dom.js"

const STORED = "service-keys-sign-in"
const NAME_CLAIMS = ["email", "preferred_username", "username", "name", "sub"]

export class SignInError extends Error {}

export function createAuth({issuer, clientId, scopes, signIn}) {
	let token = null
	let claims = {}
	let discovered = null

	const discover = async () => {
		discovered ??= await fetchJson(`${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`)
		for (const name of ["authorization_endpoint", "token_endpoint"]) {
			if (isHttp(discovered[name])) continue
			throw new SignInError(`The issuer's discovery document has no usable ${name}. Check the issuer's address.`)
		}
		return discovered
	}

	return {
		mode: signIn,
		get signedIn() {
			return token !== null
		},
		get authorization() {
			return `Bearer ${token}`
		},
		get name() {
			const claim = NAME_CLAIMS.find(each => typeof claims[each] === "string" && claims[each])
			return claim ? claims[claim] : "This account"
		},
		get subject() {
			return claims.sub
		},

		async signIn(returnTo, draft = null) {
			if (!globalThis.crypto?.subtle) {
				throw new SignInError("Sign-in needs HTTPS, or http://127.0.0.1 or localhost. Open the console there.")
			}
			const url = new URL((await discover()).authorization_endpoint)
			const [state, nonce, verifier] = [random(), random(), random()]
			const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier))
			const parameters = {
				response_type: "code",
				client_id: clientId,
				redirect_uri: redirectUri(),
				scope: scopes || "openid",
				state,
				nonce,
				code_challenge: base64Url(new Uint8Array(digest)),
				code_challenge_method: "S256"
			}
			Object.entries(parameters).forEach(pair => url.searchParams.set(...pair))
			sessionStorage.setItem(STORED, JSON.stringify({state, nonce, verifier, returnTo, draft}))
			location.assign(url)
		},

		/** Complete a sign-in. Its traces are removed first, so that none survives a failure. */
		async complete() {
			const answer = new URLSearchParams(location.search)
			const stored = takeStored()
			if (!["state", "code", "error"].some(name => answer.has(name))) return null
			history.replaceState(null, "", redirectUri() + (stored?.returnTo ?? "#/"))
			if (!stored || answer.get("state") !== stored.state) {
				throw new SignInError("This sign-in was not started in this tab, or it was used already. Sign in again.")
			}
			if (answer.has("error")) {
				const reason = answer.get("error_description") ?? answer.get("error")
				throw new SignInError(`The sign-in was refused or cancelled (${reason}). Sign in again.`)
			}
			const body = new URLSearchParams({
				grant_type: "authorization_code",
				code: answer.get("code") ?? "",
				redirect_uri: redirectUri(),
				client_id: clientId,
				code_verifier: stored.verifier
			})
			const tokens = await fetchJson((await discover()).token_endpoint, {method: "POST", body})
			const identity = payload(tokens.id_token)
			if (tokens.id_token && identity.nonce !== stored.nonce) {
				throw new SignInError("The issuer's answer belongs to another sign-in (nonce). Sign in again.")
			}
			if (!isHeaderValue(tokens.access_token)) {
				throw new SignInError("The issuer returned no access token. Check the client's settings at the issuer.")
			}
			token = tokens.access_token
			claims = {...payload(token), ...identity}
			return stored.draft
		},

		useToken(text) {
			const pasted = text.trim().replace(/^(authorization:\s*)?bearer\s+/i, "")
			if (!isHeaderValue(pasted)) {
				throw new SignInError("This is not a token. Paste one line without spaces.")
			}
			token = pasted
			claims = payload(pasted)
		},

		async signOut() {
			token = null
			claims = {}
			const end = signIn === "oidc" && (await discover().catch(() => ({}))).end_session_endpoint
			history.replaceState(null, "", redirectUri())
			// Leave the document: nothing that the administrator saw or typed stays in it.
			if (!isHttp(end)) return location.reload()
			const url = new URL(end)
			url.searchParams.set("client_id", clientId)
			// Cognito has its own name for the address to return to.
			url.searchParams.set(url.pathname === "/logout" ? "logout_uri" : "post_logout_redirect_uri", redirectUri())
			return location.assign(url)
		}
	}
}

const redirectUri = () => new URL("index.html", location.href.replace(/[?#].*$/, "")).href

function takeStored() {
	try {
		const text = sessionStorage.getItem(STORED)
		sessionStorage.removeItem(STORED)
		return JSON.parse(text)
	} catch {
		return null
	}
}

async function fetchJson(url, options = {}) {
	const {host} = new URL(url, location.href)
	let response
	try {
		response = await fetch(url, {...options, credentials: "omit", cache: "no-store", signal: AbortSignal.timeout(30_000)})
	} catch {
		throw new SignInError(`The issuer at ${host} cannot be reached. Check your connection, then sign in again.`)
	}
	const json = await response.json().catch(() => null)
	if (response.ok && isObject(json)) return json
	const reason = typeof json?.error === "string" ? `${json.error}, ` : ""
	throw new SignInError(`The issuer at ${host} did not complete the sign-in (${reason}status ${response.status}). Sign in again.`)
}

const isHttp = url => typeof url === "string" && /^https?:\/\//.test(url)

const isHeaderValue = text => typeof text === "string" && /^[!-~]+$/.test(text)

/** Return the payload of a JWT, unverified: it is shown to its owner only. */
function payload(jwt) {
	try {
		const text = atob(jwt.split(".")[1].replace(/-/g, "+").replace(/_/g, "/"))
		const json = JSON.parse(new TextDecoder().decode(Uint8Array.from(text, each => each.charCodeAt(0))))
		return isObject(json) ? json : {}
	} catch {
		return {}
	}
}

const random = () => base64Url(crypto.getRandomValues(new Uint8Array(32)))

const base64Url = bytes =>
	btoa(String.fromCharCode(...bytes))
		.replace(/\+/g, "-")
		.replace(/\//g, "_")
		.replace(/=+$/, "")
