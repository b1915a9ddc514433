/** The page of one key: its fields, the changes that can be made, its history, code for consumers. */

import { disable, editDetails, enable, forgetPrevious, remove, rollback, verify } from "../changes.js";
import { fill, h, isObject } from "../dom.js";
import { keyHref, keyStatus, mask, maskText, person, time } from "../format.js";
import { pages } from "../paging.js";
import { button, errorNotice, facts, linkButton, notice, region, statusChip } from "../ui.js";

/**
 * @param {import("../main.js").App} app
 * @param {import("../main.js").Route} route
 */
export function keyPage(app, { id, signal }) {
  const title = h("h1", { tabindex: "-1" }, "Key");
  const chip = h("span");
  const timeline = history(app, id, signal);
  let service = null;
  const content = region(
    signal,
    "Loading the key …",
    async () => {
      const [{ data }, services] = await Promise.all([app.api.get(id, signal), app.services().catch(() => new Map())]);
      service = services.get(data.service) ?? null;
      return data;
    },
    (key) => {
      fill(title, key.name);
      fill(chip, statusChip(keyStatus(key)));
      app.setTitle(String(key.name));
      return details(app, key, service);
    },
    absent,
  );
  return {
    title: "Key",
    changed(key) {
      content.show(key);
      timeline.reload();
    },
    element: h(
      "div",
      { class: "view" },
      h("div", {}, h("a", { class: "crumb", href: "#/keys" }, "All keys"), h("div", { class: "title" }, title, chip)),
      content,
      h("section", { class: "panel", "aria-label": "History" }, h("h2", {}, "History"), timeline),
    ),
  };
}

/** Explain that there is no such key: the usual reason is its deletion. */
function absent(error) {
  if (error.code !== "API_KEY_NOT_FOUND") return null;
  const actions = [linkButton("Deleted keys", "#/deleted"), linkButton("All keys", "#/keys")];
  return notice("warning", "There is no such key", [h("p", {}, "It may have been deleted: then the deleted keys list it while it can be restored.")], actions);
}

function details(app, key, service) {
  return [
    actions(app, key, service),
    key.verification?.status === "rejected" &&
      notice("error", "The service rejects this key", [h("p", {}, key.verification.detail)], [
        linkButton("Replace", `${keyHref(key)}/replace`, { kind: "primary", name: "Replace the rejected key" }),
      ]),
    h(
      "div",
      { class: "columns" },
      h("div", {}, h("section", { class: "panel", "aria-label": "Details" }, h("h2", {}, "Details"), fields(key, service)), previous(app, key)),
      h("div", {}, h("section", { class: "panel", "aria-label": "Use it in your code" }, h("h2", {}, "Use it in your code"), snippets(key, service))),
    ),
  ];
}

function actions(app, key, service) {
  const title = service?.title || key.service;
  const leave = (response) => response && app.go("#/deleted", document.querySelector("#notices .notice"));
  return h(
    "div",
    { class: "toolbar", role: "group", "aria-label": "Actions" },
    service?.verifiable && button("Verify", () => verify(app, key, title), { symbol: "verify" }),
    linkButton("Replace", `${keyHref(key)}/replace`, { symbol: "replace" }),
    key.previousKey && button("Roll back", () => rollback(app, key), { symbol: "undo" }),
    key.active
      ? button("Disable", () => disable(app, key), { symbol: "disabled" })
      : button("Enable", () => enable(app, key), { symbol: "play" }),
    button("Edit", () => editDetails(app, key), { symbol: "edit" }),
    button("Delete", () => remove(app, key).then(leave), { kind: "danger", symbol: "trash" }),
  );
}

function fields(key, service) {
  const { verification } = key;
  const by = (iso, name, subject) => [time(iso), h("span", { class: "detail", title: subject }, `by ${person(name, subject)}`)];
  return facts([
    ["Service", [h("a", { href: `#/keys?service=${encodeURIComponent(key.service)}` }, service?.title || key.service), h("code", { class: "detail" }, key.service)]],
    ["Description", key.description || h("span", { class: "muted" }, "none")],
    ["State", key.active ? "Active: consumers can get it" : "Disabled: no consumer gets it"],
    ["Secret value", mask(key.maskedKey)],
    ["Stored or replaced", time(key.keyUpdatedAt)],
    ["Last used", time(key.lastUsed)],
    ["Verification", verification ? [verificationText(verification), " ", time(verification.checkedAt), h("span", { class: "detail" }, verification.detail)] : h("span", { class: "muted" }, service && !service.verifiable ? "this service offers none" : "not verified yet")],
    ["Created", by(key.createdAt, key.createdByName, key.createdBy)],
    ["Changed", by(key.updatedAt, key.updatedByName, key.updatedBy)],
    ["Version", String(key.version)],
    ["Id", h("code", {}, key.id)],
  ]);
}

function verificationText({ status }) {
  return { valid: "Accepted by the service", rejected: "Rejected by the service", inconclusive: "No clear answer" }[status] ?? status;
}

function previous(app, key) {
  const { previousKey } = key;
  if (!isObject(previousKey)) return null;
  const forget = button("Remove the previous value", () => forgetPrevious(app, key), { symbol: "trash" });
  return h(
    "section",
    { class: "panel", "aria-label": "Previous value" },
    h("h2", {}, "Previous value"),
    facts([
      ["Secret value", mask(previousKey.maskedKey)],
      ["Replaced", [time(previousKey.replacedAt), h("span", { class: "detail" }, `by ${previousKey.replacedBy}`)]],
    ]),
    h("p", { class: "small muted" }, "A rollback returns to it. Remove it if it was leaked or revoked."),
    forget,
  );
}

function snippets(key, service) {
  return [
    h("p", {}, "Consumers get the newest active key of the service. Call ", h("code", {}, "get_api_key"), " each time the key is needed: a cached read takes no call to AWS."),
    snippet("Python", pythonSnippet(key)),
    snippet("SAM template", samSnippet(key, service)),
    h("p", { class: "small muted" }, "The names begin with the name of the stack of Service Keys, here service-keys."),
  ];
}

function pythonSnippet(key) {
  const text = (value) => JSON.stringify(value);
  const named = (value) => `get_api_key(${text(key.service)}, name=${text(value)})`;
  const lines = ["from service_keys import get_api_key", ""];
  if (isObject(key.maskedKey)) {
    lines.push(`key = get_api_key(${text(key.service)})`, ...Object.keys(key.maskedKey).map((name) => `key[${text(name)}]`));
  } else lines.push(`get_api_key(${text(key.service)}).value`);
  return [...lines, "", "# This key, even if the service has a newer one:", named(key.name)].join("\n");
}

function samSnippet(key, service) {
  const name = service?.known ? key.service.charAt(0).toUpperCase() + key.service.slice(1) : "All";
  return [
    "MyFunction:",
    "  Type: AWS::Serverless::Function",
    "  Properties:",
    '    Layers: ["{{resolve:ssm:/service-keys/layer-arn}}"]',
    `    Policies: [{Fn::ImportValue: service-keys-Read${name}KeysPolicyArn}]`,
    ...(service?.known ? [] : ["    # Lets it read the keys of all services. For a policy of one service,", "    # see docs/consumers.md."]),
    "    Environment:",
    "      Variables:",
    "        SERVICE_KEYS_TABLE: {Fn::ImportValue: service-keys-TableName}",
  ].join("\n");
}

function snippet(title, text) {
  const done = h("span", { class: "small muted", role: "status" });
  const copy = button(
    "Copy",
    async () => {
      try {
        await navigator.clipboard.writeText(text);
        done.textContent = "Copied";
      } catch {
        done.textContent = "Select the text to copy it";
      }
    },
    { kind: "quiet", symbol: "copy", name: `Copy the ${title} code` },
  );
  return h(
    "div",
    { class: "snippet" },
    h("div", { class: "snippet-head" }, h("h3", {}, title), h("div", { class: "more" }, done, copy)),
    h("pre", { tabindex: "0", role: "region", "aria-label": `${title} code` }, h("code", {}, text)),
  );
}

const CHANGES = { create: "Stored", rollback: "Rolled back to the previous value", delete: "Deleted", restore: "Restored" };
const FIELD_NAMES = { name: "Name", description: "Description", active: "Active", maskedKey: "Secret value" };

function history(app, id, signal) {
  let list;
  const element = region(
    signal,
    "Loading the history …",
    () => {
      list = pages((cursor) => app.api.history(id, cursor, signal));
      return list.load();
    },
    () => timeline(list, element.reload),
    (error) => (error.code === "API_KEY_NOT_FOUND" ? h("p", { class: "muted" }, "No changes are recorded.") : null),
  );
  return element;
}

function timeline(list, reload) {
  const entries = h("ol", { class: "timeline" });
  const error = h("div");
  const more = button("Load more of the history", async () => {
    fill(error);
    try {
      await list.load();
      refresh();
    } catch (failure) {
      fill(error, errorNotice(failure, reload));
    }
  });
  const refresh = () => {
    fill(entries, list.items.map(entry));
    more.hidden = !list.more;
  };
  refresh();
  return [entries, error, more];
}

function entry(change) {
  const before = isObject(change.before) ? change.before : {};
  const after = isObject(change.after) ? change.after : {};
  const names = Object.keys(FIELD_NAMES).filter((name) => name in before || name in after);
  const showBoth = change.change !== "create" && change.change !== "delete";
  return h(
    "li",
    {},
    h("p", {}, h("b", {}, summary(change)), " ", time(change.at), ` by ${person(change.byName, change.by)}`),
    showBoth && names.length > 0 && h("ul", { class: "changes small" }, names.map((name) => h("li", {}, difference(name, before[name], after[name])))),
    h("p", { class: "small muted" }, `Version ${change.version} · request `, h("code", {}, change.requestId)),
  );
}

function difference(name, before, after) {
  return [`${FIELD_NAMES[name]}: `, h("del", {}, valueText(before)), " → ", h("ins", {}, valueText(after))];
}

function valueText(value) {
  if (value === null || value === undefined || value === "") return "none";
  if (typeof value === "boolean") return value ? "yes" : "no";
  return maskText(value);
}

function summary({ change, fields, after }) {
  if (change !== "update") return CHANGES[change] ?? String(change);
  const named = Array.isArray(fields) ? fields : [];
  const parts = [
    named.includes("key") && "Secret value replaced",
    !named.includes("key") && named.includes("keepPrevious") && "Previous value removed",
    named.includes("active") && (after?.active === false ? "Disabled" : after?.active === true ? "Enabled" : "State confirmed"),
    named.includes("name") && "Renamed",
    named.includes("description") && "Description changed",
  ].filter(Boolean);
  return parts.join(", ") || "Changed";
}
