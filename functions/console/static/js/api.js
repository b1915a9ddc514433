/** The API's client: one function per operation of openapi.yaml. */

import { isObject } from "./dom.js";

const TIMEOUT_MS = 30_000;
/** A response above this size is not one of the API. */
const MAX_CHARACTERS = 10 * 1024 * 1024;
const LONGEST_WAIT_S = 300;

/** A failed request. */
export class ApiError extends Error {
  /**
   * @param {string} message The problem and its remedy.
   * @param {{status?: number, code?: string, details?: {field: string, message: string}[], requestId?: string|null,
   *   retryAfter?: number|null}} [more]
   */
  constructor(message, { status = 0, code = "UNREADABLE", details = [], requestId = null, retryAfter = null } = {}) {
    super(message);
    Object.assign(this, { status, code, details, requestId, retryAfter, retried: false });
  }
}

/**
 * Create the client.
 * @param {URL} base
 * @param {{authorization: string}} auth
 * @param {{unauthorized: (error: ApiError) => Promise<void>, wait: (error: ApiError, signal?: AbortSignal) =>
 *   Promise<void>, forbidden: () => void}} hooks `unauthorized` resolves when there is another token, `wait` when a retry makes sense; both
 *   reject to give up.
 */
export function createApi(base, auth, hooks) {
  const request = async (method, path, options = {}) => {
    for (let retried = false; ; retried = true) {
      try {
        return await send(method, new URL(path, base), auth.authorization, options);
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        error.retried = retried;
        if (error.code === "FORBIDDEN") hooks.forbidden();
        if (error.status === 401) await hooks.unauthorized(error);
        else if (isTemporary(error, method)) await hooks.wait(error, options.signal);
        else throw error;
      }
    }
  };
  const one = (id) => `api-keys/${encodeURIComponent(id)}`;
  const ifMatch = (version) => ({ "If-Match": `"${version}"` });

  return {
    services: (signal) => request("GET", "services", { signal, list: true }),
    list: (query, signal) => request("GET", `api-keys?${new URLSearchParams(query)}`, { signal, list: true }),
    get: (id, signal) => request("GET", one(id), { signal }),
    history: (id, cursor, signal) =>
      request("GET", `${one(id)}/history?${new URLSearchParams({ limit: 20, ...(cursor && { cursor }) })}`, { signal, list: true }),
    create: (body, idempotencyKey) =>
      request("POST", "api-keys", { body, headers: { "Idempotency-Key": idempotencyKey } }),
    update: (id, version, body) => request("PATCH", one(id), { body, headers: ifMatch(version) }),
    /** Store a new secret value: the same operation under its other method. */
    replace: (id, version, body) => request("PUT", one(id), { body, headers: ifMatch(version) }),
    remove: (id, version) => request("DELETE", one(id), { headers: ifMatch(version) }),
    removePermanently: (id, version) => request("DELETE", `${one(id)}?permanent=true`, { headers: ifMatch(version) }),
    restore: (id, version, name) =>
      request("POST", `${one(id)}/restore`, { body: name === undefined ? undefined : { name }, headers: ifMatch(version) }),
    rollback: (id, version) => request("POST", `${one(id)}/rollback`, { headers: ifMatch(version) }),
    verify: (id) => request("POST", `${one(id)}/verify`),
  };
}

/** A request that the API did not execute, or that is safe to repeat: reads, and changes of one version. */
function isTemporary(error, method) {
  if (error.code === "OFFLINE" || error.status === 429) return true;
  return error.retryAfter !== null && (error.status === 503 || (error.status === 504 && method === "GET"));
}

async function send(method, url, authorization, { body, headers = {}, signal, list = false }) {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const options = {
    method,
    headers: { Authorization: authorization, Accept: "application/json", ...headers },
    signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    credentials: "omit",
    cache: "no-store",
    redirect: "error",
    referrerPolicy: "no-referrer",
  };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  let response;
  let text;
  try {
    response = await fetch(url, options);
    text = await readText(response);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw error instanceof ApiError ? error : unreachable(timeout.aborted, method);
  }
  return interpret(response, text, list, method);
}

function unreachable(timedOut, method) {
  if (!navigator.onLine) return new ApiError("You are offline.", { code: "OFFLINE" });
  const check = method === "GET" ? "" : " A change may have been made nevertheless; to repeat it is safe.";
  if (timedOut) return new ApiError(`The API did not answer within 30 seconds. Try again.${check}`, { code: "TIMEOUT" });
  return new ApiError(`The API cannot be reached. Check your connection, then try again.${check}`, { code: "NETWORK" });
}

async function readText(response) {
  const declared = Number(response.headers.get("Content-Length"));
  const text = declared > MAX_CHARACTERS ? null : await response.text();
  if (text !== null && text.length <= MAX_CHARACTERS) return text;
  await response.body?.cancel().catch(() => {});
  throw new ApiError("The answer is too large to be one of the API. Try again.", { status: response.status });
}

function interpret(response, text, list, method) {
  const json = parse(text);
  const requestId = typeof json?.requestId === "string" ? json.requestId : response.headers.get("x-amzn-RequestId");
  if (response.ok && json?.success === true && (list ? Array.isArray(json.data) : isObject(json.data))) return json;
  const more = { status: response.status, requestId, retryAfter: retryAfter(response) };
  if (!response.ok && typeof json?.error?.message === "string") {
    const details = Array.isArray(json.error.details) ? json.error.details.filter(isDetail) : [];
    throw new ApiError(json.error.message, { ...more, code: String(json.error.code), details });
  }
  const check = method === "GET" ? "" : " Check whether the change was made before you repeat it.";
  throw new ApiError(
    response.ok
      ? `The answer is not one of the API. A proxy may have changed it. Try again.${check}`
      : `The API failed (status ${response.status}) and did not say why. Try again.${check}`,
    more,
  );
}

function parse(text) {
  try {
    const json = JSON.parse(text);
    return isObject(json) ? json : null;
  } catch {
    return null;
  }
}

function isDetail(detail) {
  return typeof detail?.field === "string" && typeof detail?.message === "string";
}

/** Return the seconds to wait: of `Retry-After` (seconds or a date), else 5 for 429; null for no wait. */
function retryAfter(response) {
  const value = response.headers.get("Retry-After");
  const seconds = value === null ? NaN : /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
  if (Number.isFinite(seconds)) return Math.min(Math.max(Math.ceil(seconds), 1), LONGEST_WAIT_S);
  return response.status === 429 ? 5 : null;
}
