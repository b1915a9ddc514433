/** The list of keys: filters by the API, search over the loaded pages. */

import { fill, h } from "../dom.js";
import { count, keyHref, keyStatus, mask, time } from "../format.js";
import { checkbox, select } from "../forms.js";
import { pages } from "../paging.js";
import { button, dataTable, errorNotice, linkButton, region, statusChip } from "../ui.js";

const PAGE_SIZE = 50;
/** Filters of the API, as in the address. */
const FILTERS = ["service", "active", "verification"];

/**
 * @param {import("../main.js").App} app
 * @param {import("../main.js").Route} route
 */
export function keys(app, { query, signal }) {
  const controls = filterControls(query);
  const state = { list: null, controller: null };
  const results = h("div", { class: "region" });

  const reload = async () => {
    state.controller?.abort();
    state.controller = new AbortController();
    const either = AbortSignal.any([signal, state.controller.signal]);
    const filters = apiFilters(controls);
    state.list = pages((cursor) => app.api.list({ ...filters, limit: PAGE_SIZE, ...(cursor && { cursor }) }, either));
    const loading = region(either, "Loading the keys …", () => state.list.load(), () => table(app, state.list, controls, loading.reload));
    fill(results, loading);
  };
  const filter = () => {
    remember(controls);
    results.firstChild?.refresh?.();
    results.querySelector("[data-list]")?.refresh();
  };

  for (const name of FILTERS) controls[name].input.addEventListener("change", () => (remember(controls), reload()));
  controls.search.addEventListener("input", filter);
  controls.unused.input.addEventListener("change", filter);
  offerServices(app, controls.service, query.get("service"));
  reload();
  return {
    title: "Keys",
    reload,
    element: h(
      "div",
      { class: "view" },
      h(
        "div",
        { class: "page-head" },
        h("h1", { tabindex: "-1" }, "Keys"),
        h(
          "div",
          { class: "actions" },
          linkButton("Deleted keys", "#/deleted", { symbol: "trash" }),
          linkButton("Store a key", "#/store", { kind: "primary", symbol: "plus" }),
        ),
      ),
      controls.element,
      results,
    ),
  };
}

function filterControls(query) {
  const search = h("input", { type: "search", id: "search", autocomplete: "off", spellcheck: "false", placeholder: "Name, id, service, description", value: query.get("q") ?? "" });
  const chosen = query.get("service") ?? "";
  const service = select({ label: "Service", name: "service", value: chosen, options: [["", "All services"], ...(chosen ? [[chosen, chosen]] : [])] });
  const active = select({
    label: "State",
    name: "active",
    value: query.get("active") ?? "",
    options: [["", "Active and disabled"], ["true", "Active"], ["false", "Disabled"]],
  });
  const verification = select({
    label: "Verification",
    name: "verification",
    value: query.get("verification") ?? "",
    options: [["", "Any result"], ["valid", "Accepted"], ["rejected", "Rejected"], ["inconclusive", "Inconclusive"], ["none", "Not verified"]],
  });
  const unused = checkbox({ label: "Never used", name: "unused", checked: query.get("unused") === "true" });
  const element = h(
    "form",
    { class: "filters", role: "search", "aria-label": "Filter the keys" },
    h("div", { class: "field" }, h("label", { for: "search" }, "Search"), search),
    service.element,
    active.element,
    verification.element,
    unused.element,
  );
  element.addEventListener("submit", (event) => event.preventDefault());
  return { element, search, service, active, verification, unused };
}

/** Offer all services as filters; without an answer, the address's own filter stays. */
async function offerServices(app, control, chosen) {
  const services = await app.services().catch(() => new Map());
  const names = new Map([...services.values()].map((each) => [each.service, each.title || each.service]));
  if (chosen && !names.has(chosen)) names.set(chosen, chosen);
  control.setOptions([["", "All services"], ...[...names].sort((one, other) => one[1].localeCompare(other[1]))]);
}

function apiFilters(controls) {
  return Object.fromEntries(FILTERS.map((name) => [name, controls[name].input.value]).filter(([, value]) => value));
}

/** Keep the filters in the address, so that it can be shared and survives a new sign-in. */
function remember(controls) {
  const query = new URLSearchParams(apiFilters(controls));
  if (controls.search.value) query.set("q", controls.search.value);
  if (controls.unused.input.checked) query.set("unused", "true");
  history.replaceState(null, "", `#/keys${query.size > 0 ? `?${query}` : ""}`);
}

function table(app, list, controls, reload) {
  const { element, body, row } = dataTable("Keys, newest first", ["Name", "Status", "Secret value", "Last used", "Changed"]);
  const status = h("p", { class: "muted", role: "status" });
  const error = h("div");
  const more = button("Load more", async () => {
    fill(error);
    try {
      await list.load();
      refresh();
    } catch (failure) {
      fill(error, errorNotice(failure, reload));
    }
  });
  const empty = h("p", { class: "empty" });
  const refresh = () => {
    const found = list.items.filter((key) => matches(key, controls));
    fill(body, found.map((key) => row(cells(key))));
    element.hidden = found.length === 0;
    empty.hidden = found.length > 0;
    empty.textContent = list.items.length === 0 ? "There is no such key. Change the filters, or store a key." : "None of the loaded keys matches.";
    const local = controls.search.value.trim() !== "" || controls.unused.input.checked;
    const all = list.more ? "; load more to search in the others" : ", which are all";
    status.textContent = local
      ? `${count(found.length, "key")}. Searched in the ${list.items.length} loaded keys${all}.`
      : `${count(found.length, "key")}${list.more ? " loaded" : ""}.`;
    more.hidden = !list.more;
  };
  refresh();
  const wrapper = h("div", { class: "stack", "data-list": true }, element, empty, error, h("div", { class: "more" }, more, status));
  wrapper.refresh = refresh;
  return wrapper;
}

function matches(key, controls) {
  if (controls.unused.input.checked && key.lastUsed !== null) return false;
  const words = controls.search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const text = `${key.name} ${key.id} ${key.service} ${key.description ?? ""}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

function cells(key) {
  const { verification } = key;
  return [
    [h("a", { href: keyHref(key) }, key.name), h("span", { class: "small muted" }, key.service)],
    [statusChip(keyStatus(key)), verification && h("span", { class: "small muted" }, time(verification.checkedAt))],
    mask(key.maskedKey),
    time(key.lastUsed),
    [time(key.updatedAt), h("span", { class: "small muted" }, key.updatedByName ?? key.updatedBy)],
  ];
}
