// The typed client of docs/clients.md: `make test-clients` compiles it with `tsc --strict` and runs it.
import createClient from "openapi-fetch"
import type { components, paths } from "./generated/api"

type ApiKey = components["schemas"]["ApiKey"]
type ErrorCode = components["schemas"]["ErrorCode"]
type ChangeWarning = components["schemas"]["ChangeWarning"]

declare const process: { env: Record<string, string> }

const client = createClient<paths>({
  baseUrl: process.env.SERVICE_KEYS_URL,
  headers: { Authorization: `Bearer ${process.env.SERVICE_KEYS_TOKEN}` },
})

// The optional fields can be left out; the required ones cannot.
export const least: components["schemas"]["CreateApiKey"] = { name: "Weather", key: "made-up-value" }
export const renamed: components["schemas"]["UpdateApiKey"] = { name: "Weather 2" }
export const restored: components["schemas"]["RestoreApiKey"] = {}
// @ts-expect-error: there is no name
export const unnamed: components["schemas"]["CreateApiKey"] = { key: "made-up-value" }
// @ts-expect-error: there is no key
export const keyless: components["schemas"]["CreateApiKey"] = { name: "Weather" }
// @ts-expect-error: there is no such field
export const misspelled: components["schemas"]["CreateApiKey"] = { ...least, enabled: true }
// @ts-expect-error: a field of a key is a string
export const nested: components["schemas"]["CreateApiKey"] = { name: "Weather", key: { token: 1 } }

export function mask(key: ApiKey): string {
  return typeof key.maskedKey === "string" ? key.maskedKey : Object.values(key.maskedKey).join(" ")
}

// A switch over all warnings needs no default, and `now` exists only where it is sent.
export function effect(warning: ChangeWarning): string {
  switch (warning.code) {
    case "SERVING_CHANGED":
    case "NAME_CHANGED":
      return `${warning.before.name} -> ${warning.now.name}`
    case "SERVICE_WITHOUT_ACTIVE_KEY":
      return warning.before.id
    case "UNKNOWN_SERVICE":
      return warning.similar ?? "none"
  }
}

export function isTaken(code: ErrorCode): boolean {
  // @ts-expect-error: there is no such code
  if (code === "DUPLICATE_NAME") return false
  return code === "DUPLICATE_API_KEY_NAME"
}

async function main(): Promise<void> {
  const created = await client.POST("/api/v1/admin/api-keys", {
    body: { name: "Weather in TypeScript", key: { appId: "made-up-app", secret: "made-up-secret" }, active: false },
  })
  if (created.error) throw new Error(`${created.error.error.code}: ${created.error.error.message}`)
  const key = created.data.data
  const warnings = (created.data.warnings ?? []).map(effect)

  const path = { id: key.id }
  const etag = created.response.headers.get("ETag") ?? ""
  const changed = await client.PATCH("/api/v1/admin/api-keys/{id}", {
    params: { path, header: { "If-Match": etag } },
    body: { description: "Made up." },
  })
  const stale = await client.PATCH("/api/v1/admin/api-keys/{id}", {
    params: { path, header: { "If-Match": etag } },
    body: { description: "Never stored." },
  })
  // @ts-expect-error: a rollback requires If-Match
  const unsafe = await client.POST("/api/v1/admin/api-keys/{id}/rollback", { params: { path } })
  const deleted = await client.DELETE("/api/v1/admin/api-keys/{id}", { params: { path, query: { permanent: true } } })
  console.log(
    JSON.stringify({
      id: key.id,
      mask: mask(key),
      warnings,
      version: changed.data?.data.version,
      stale: stale.error?.error.code,
      unsafe: unsafe.error?.error.code,
      gone: deleted.data?.data.recoverableUntil,
    }),
  )
}

await main()
