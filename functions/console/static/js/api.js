/** The API's client: one function per operation of openapi.yaml. */

import {isObject} from "./dom.js"

const TIMEOUT_MS = 30_000
const MAX_CHARACTERS = 10 * 1024 * 1024
const LONGEST_WAIT_S = 300

export class ApiError extends Error {
	constructor(message, fields) {
		super(message)
		Object.assign(this, {status: 0, code: "UNREADABLE", details: [], requestId: null, retryAfter: null, retried: false}, fields)
	}
}

/** Create the client. `hooks.unauthorized` resolves once there is another token, `wait` when a retry makes sense; `version` gets the API's. */
export function createApi(base, auth, hooks) {
	const request = async (method, path, options = {}) => {
		for (let retried = false; ; retried = true) {
			try {
				return await send(method, new URL(path, base), auth.authorization, options, hooks)
			} catch (error) {
				if (!(error instanceof ApiError)) throw error
				error.retried = retried
				if (error.code === "FORBIDDEN") hooks.forbidden()
				if (error.status === 401) await hooks.unauthorized(error)
				else if (isTemporary(error, method)) await hooks.wait(error, options.signal)
				else throw error
			}
		}
	}
	const one = id => `api-keys/${encodeURIComponent(id)}`
	const query = parameters => new URLSearchParams(parameters)
	const change = (method, path, version, body) => request(method, path, {body, headers: {"If-Match": `"${version}"`}})

	return {
		services: signal => request("GET", "services", {signal, list: true}),
		list: (parameters, signal) => request("GET", `api-keys?${query(parameters)}`, {signal, list: true}),
		get: (id, signal) => request("GET", one(id), {signal}),
		history: (id, parameters, signal) => request("GET", `${one(id)}/history?${query(parameters)}`, {signal, list: true}),
		create: (body, key) => request("POST", "api-keys", {body, headers: {"Idempotency-Key": key}}),
		update: (id, version, body) => change("PATCH", one(id), version, body),
		replace: (id, version, body) => change("PUT", one(id), version, body),
		remove: (id, version, permanent) => change("DELETE", `${one(id)}${permanent ? "?permanent=true" : ""}`, version),
		restore: (id, version, body) => change("POST", `${one(id)}/restore`, version, body),
		rollback: (id, version) => change("POST", `${one(id)}/rollback`, version),
		verify: id => request("POST", `${one(id)}/verify`)
	}
}

/** A request that the API did not execute, or that is safe to repeat: a read, or a change of one version. */
function isTemporary({code, status, retryAfter}, method) {
	if (code === "OFFLINE" || status === 429) return true
	return retryAfter !== null && (status === 503 || (status === 504 && method === "GET"))
}

async function send(method, url, authorization, {body, headers, signal, list}, hooks) {
	const timeout = AbortSignal.timeout(TIMEOUT_MS)
	const json = body === undefined ? {} : {"Content-Type": "application/json"}
	let response
	let text
	try {
		response = await fetch(url, {
			method,
			headers: {Authorization: authorization, ...json, ...headers},
			body: body === undefined ? undefined : JSON.stringify(body),
			signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
			credentials: "omit",
			cache: "no-store",
			redirect: "error"
		})
		hooks.version(response.headers.get("X-Service-Keys-Version"))
		text = await readText(response)
	} catch (error) {
		if (signal?.aborted || error instanceof ApiError) throw error
		throw unreachable(timeout.aborted, method)
	}
	return interpret(response, text, list, method)
}

function unreachable(timedOut, method) {
	if (!navigator.onLine) return new ApiError("You are offline.", {code: "OFFLINE"})
	const problem = timedOut ? "did not answer within 30 seconds. Try" : "cannot be reached. Check your connection, then try"
	const check = method === "GET" ? "" : " The change may have been made nevertheless; to repeat it is safe."
	return new ApiError(`The API ${problem} again.${check}`, {code: timedOut ? "TIMEOUT" : "NETWORK"})
}

async function readText(response) {
	const declared = Number(response.headers.get("Content-Length"))
	const text = declared > MAX_CHARACTERS ? null : await response.text()
	if (text !== null && text.length <= MAX_CHARACTERS) return text
	await response.body?.cancel().catch(() => {})
	throw new ApiError("The answer is too large to be one of the API. Try again.", {status: response.status})
}

function interpret(response, text, list, method) {
	const {ok, status, headers} = response
	const json = parse(text)
	if (ok && json?.success === true && (list ? Array.isArray(json.data) : isObject(json.data))) return json
	const requestId = typeof json?.requestId === "string" ? json.requestId : headers.get("x-amzn-RequestId")
	const fields = {status, requestId, retryAfter: retryAfter(response)}
	if (!ok && typeof json?.error?.message === "string") {
		const details = Array.isArray(json.error.details) ? json.error.details.filter(isDetail) : []
		throw new ApiError(json.error.message, {...fields, code: String(json.error.code), details})
	}
	const problem = ok
		? "The answer is not one of the API. A proxy may have changed it. Try again."
		: `The API failed (status ${status}) and did not say why. Try again.`
	throw new ApiError(method === "GET" ? problem : `${problem} Check first whether the change was made.`, fields)
}

function parse(text) {
	try {
		const json = JSON.parse(text)
		return isObject(json) ? json : null
	} catch {
		return null
	}
}

const isDetail = detail => typeof detail?.field === "string" && typeof detail?.message === "string"

function retryAfter({status, headers}) {
	const value = headers.get("Retry-After")
	if (/^\d+$/.test(value)) return Math.min(Math.max(Number(value), 1), LONGEST_WAIT_S)
	return status === 429 ? 5 : null
}
