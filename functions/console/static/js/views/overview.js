/** The overview: which services are configured, and whether they work. */

import { h, icon, isObject } from "../dom.js";
import { count, keyHref, mask, time } from "../format.js";
import { button, facts, linkButton, notice, region, statusChip } from "../ui.js";
import { verify } from "../changes.js";

const ORDER = ["rejected", "disabled", "unverified", "operational", "not_configured"];

/** @param {import("../main.js").App} app */
export function overview(app, { signal }) {
  const content = region(signal, "Loading the services …", () => app.api.services(signal), (answer) => {
    const services = answer.data.filter((each) => isObject(each) && typeof each.service === "string");
    app.rememberServices(services);
    return render(app, services, answer.incomplete === true);
  });
  return {
    title: "Overview",
    reload: () => content.reload(),
    element: h(
      "div",
      {},
      h(
        "div",
        { class: "page-head" },
        h("h1", { tabindex: "-1" }, "Services"),
        h("div", { class: "actions" }, linkButton("Store a key", "#/store", { kind: "primary", symbol: "plus" })),
      ),
      content,
    ),
  };
}

function render(app, services, incomplete) {
  const configured = services
    .filter((each) => each.status !== "not_configured")
    .sort((one, other) => ORDER.indexOf(one.status) - ORDER.indexOf(other.status) || one.title.localeCompare(other.title));
  const others = services.filter((each) => each.status === "not_configured");
  const rejected = configured.filter((each) => each.status === "rejected");
  return [
    rejected.length > 0 &&
      notice("error", `${rejected.map((each) => each.title).join(", ")}: the service rejects the key`, [
        h("p", {}, "Consumers get an error from the service. Replace the key with a valid one."),
      ]),
    incomplete &&
      notice("warning", "Not all services are shown, or some counts are too low", [
        h("p", {}, "There are more keys than one request reads. ", h("a", { href: "#/keys" }, "All keys are in the list.")),
      ]),
    summary(services),
    configured.length === 0
      ? h("p", { class: "empty" }, "No key is stored yet. Choose a service below to store the first one.")
      : h("ul", { class: "cards" }, configured.map((each) => h("li", {}, card(app, each)))),
    h("h2", {}, "Not configured"),
    h("ul", { class: "tiles" }, others.map((each) => h("li", {}, tile(each))), h("li", {}, otherTile())),
  ];
}

function summary(services) {
  const counts = ORDER.map((status) => [status, services.filter((each) => each.status === status).length]);
  return h(
    "ul",
    { class: "summary", "aria-label": "Services by status" },
    counts.filter(([, number]) => number > 0).map(([status, number]) => h("li", {}, h("b", {}, String(number)), statusChip(status))),
  );
}

function card(app, service) {
  const { serving } = service;
  const title = service.title || service.service;
  return h(
    "article",
    { class: `card card-${service.status}`, "aria-label": title },
    h("div", { class: "card-head" }, h("h2", {}, title), statusChip(service.status)),
    h("p", { class: "small muted service-name" }, h("code", {}, service.service), !service.known && " · not a known service"),
    facts([...servingFacts(service), ["Keys", keyCounts(service)]]),
    h("div", { class: "card-foot" }, cardActions(app, service, title)),
  );
}

function cardActions(app, service, title) {
  const { serving } = service;
  if (!isObject(serving)) {
    return linkButton("Store a key", `#/store?service=${encodeURIComponent(service.service)}`, { symbol: "plus", name: `Store a key for ${title}` });
  }
  const replace = linkButton("Replace", `${keyHref(serving)}/replace`, {
    symbol: "replace",
    name: `Replace the key of ${title}`,
    kind: service.status === "rejected" ? "primary" : "",
  });
  if (!service.verifiable) return replace;
  const check = button(
    "Verify",
    () => verify(app, serving, title),
    { symbol: "verify", name: `Verify the key of ${title}` },
  );
  return [check, replace];
}

function keyCounts({ service, keys }) {
  return h("a", { href: `#/keys?service=${encodeURIComponent(service)}` }, `${count(keys?.total, "key")}, ${keys?.active} active`);
}

function servingFacts({ serving, verifiable }) {
  if (!isObject(serving)) return [["Consumers get", "an error: all keys are disabled"]];
  const { verification } = serving;
  const checked = verification
    ? [time(verification.checkedAt), h("span", { class: "detail" }, verification.detail)]
    : h("span", { class: "muted" }, verifiable ? "not verified yet" : "this service offers no verification");
  return [
    ["Consumers get", [h("a", { href: keyHref(serving) }, h("b", {}, serving.name)), mask(serving.maskedKey)]],
    ["Last used", time(serving.lastUsed)],
    ["Verified", checked],
  ];
}

function tile(service) {
  const title = service.title || service.service;
  return h(
    "article",
    { class: "tile", "aria-label": title },
    h("div", {}, h("h3", {}, title), statusChip(service.status)),
    linkButton("Store a key", `#/store?service=${encodeURIComponent(service.service)}`, { symbol: "plus", name: `Store a key for ${title}` }),
  );
}

function otherTile() {
  return h("a", { class: "tile tile-other", href: "#/store" }, icon("plus"), "Store a key of another service");
}
