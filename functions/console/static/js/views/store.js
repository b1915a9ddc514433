/** Store a new key, and replace the secret value of a stored one. */

import { activeKeys, disable, outcome, rollback, verify, withVersion, Discarded } from "../changes.js";
import { ask } from "../dialogs.js";
import { fill, h, isObject } from "../dom.js";
import { keyHref, mask, maskText, time } from "../format.js";
import { checkbox, focusFirstError, secretEditor, showErrors, textField } from "../forms.js";
import { descriptionProblem, nameProblem, serviceProblem, trim } from "../rules.js";
import { busy, button, linkButton, notice, region } from "../ui.js";

/**
 * The form for a new key.
 * @param {import("../main.js").App} app
 * @param {import("../main.js").Route} route
 */
export function storeKey(app, { query, signal, draft }) {
  const typed = draft ?? { service: query.get("service") ?? "" };
  let form = null;
  const content = region(signal, "Loading the services …", () => app.services().catch(() => new Map()), (services) => {
    form = storeForm(app, services, typed, signal);
    return form.element;
  });
  return {
    title: "Store a key",
    draft: () => form?.draft() ?? typed,
    element: h("div", { class: "view" }, h("h1", { tabindex: "-1" }, "Store a key"), content),
  };
}

function storeForm(app, services, typed, signal) {
  const list = h("datalist", { id: "services" }, [...services.values()].map((each) => h("option", { value: each.service }, each.title)));
  const service = textField({
    label: "Service",
    name: "service",
    value: typed.service ?? "",
    required: true,
    check: serviceProblem,
    hint: "Consumers ask for the key by this name; it never changes.",
    attributes: { list: "services", autocapitalize: "off", spellcheck: "false" },
  });
  service.element.append(list);
  const name = textField({ label: "Name", name: "name", value: typed.name ?? "", required: true, check: nameProblem, hint: "Unique, for people; it can be changed." });
  const description = textField({ label: "Description", name: "description", value: typed.description ?? "", multiline: true, check: descriptionProblem });
  const active = checkbox({ label: "Active", name: "active", checked: typed.active ?? true, hint: "Consumers can get the key at once." });
  const about = h("div", { class: "stack" });
  const secretPlace = h("div", { class: "stack" });
  const messages = h("div", { class: "messages" });
  const submit = h("button", { type: "submit", class: "button primary" }, "Store");
  const state = { editor: null, service: null, suggested: "", idempotencyKey: null };

  const chooseService = () => {
    const known = services.get(service.input.value);
    const id = known?.known ? service.input.value : "";
    fill(about, serviceNote(known, service.input.value, services));
    const suggestion = known && !known.keys?.total ? known.title : "";
    if (name.input.value === state.suggested) name.input.value = suggestion;
    state.suggested = suggestion;
    if (state.editor && state.service === id) return;
    state.service = id;
    state.editor = secretEditor({ fields: known?.fields ?? [] });
    fill(secretPlace, state.editor.element);
  };
  if (typed.name !== undefined) state.suggested = null;
  chooseService();
  service.input.addEventListener("input", chooseService);

  const fields = () => ({ service, name, description, ...state.editor.fields });
  const form = h(
    "form",
    { class: "panel form", novalidate: true, "aria-label": "New key" },
    service.element,
    about,
    name.element,
    secretPlace,
    description.element,
    active.element,
    messages,
    h("div", { class: "actions" }, submit, linkButton("Cancel", "#/")),
  );
  form.addEventListener("input", () => (state.idempotencyKey = null));
  form.addEventListener("change", () => (state.idempotencyKey = null));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    busy(submit, async () => {
      fill(messages);
      const valid = [service.validate(), name.validate(), description.validate(), state.editor.validate()];
      if (valid.includes(false)) return focusFirstError(form);
      const body = {
        name: trim(name.input.value),
        service: service.input.value,
        description: trim(description.input.value) || null,
        active: active.input.checked,
        key: state.editor.value(),
      };
      if (body.active && !(await confirmServing(app, body))) return undefined;
      // The same key for a retry after a lost answer; another one after any change of the form.
      state.idempotencyKey ??= crypto.randomUUID();
      try {
        stored(app, await app.api.create(body, state.idempotencyKey), services);
        state.editor.clear();
      } catch (error) {
        if (signal.aborted) return undefined;
        fill(messages, showErrors(error, fields()));
        focusFirstError(form);
      }
      return undefined;
    });
  });
  const draft = () => ({
    service: service.input.value,
    name: name.input.value,
    description: description.input.value,
    active: active.input.checked,
  });
  return { element: form, draft };
}

function serviceNote(known, name, services) {
  if (!name) return null;
  if (known && isObject(known.serving)) {
    const { serving } = known;
    return notice("info", `Consumers of ${known.title} get “${serving.name}” now`, [
      h("p", {}, "A new active key is newer, so they get it instead. To change the value of the present key, replace it."),
    ], [linkButton("Replace it instead", `${keyHref(serving)}/replace`)]);
  }
  if (known?.known) return h("p", { class: "small muted" }, `${known.title}${known.verifiable ? "; its keys can be verified" : ""}.`);
  const similar = [...services.values()].filter((each) => each.known && (each.service.startsWith(name) || name.startsWith(each.service)));
  if (serviceProblem(name)) return null;
  return h("p", { class: "small muted" }, `${name} is not a known service: its format is not checked, and it cannot be verified.`,
    similar.length > 0 && ` Known: ${similar.map((each) => each.service).join(", ")}.`);
}

/** State the effect of a new active key on a service that is in use. */
async function confirmServing(app, { service, name }) {
  const [serving] = (await activeKeys(app, service)) ?? [];
  if (!serving) return true;
  return ask({
    title: `Let consumers of ${service} get the new key?`,
    content: [
      h("p", {}, `They get “${serving.name}” (${maskText(serving.maskedKey)}) now, and “${name}” within 60 seconds, because it is newer. “${serving.name}” stays active.`),
      h("p", {}, "Last use of the present key: ", time(serving.lastUsed), "."),
    ],
    confirm: "Store the new key",
  });
}

function stored(app, response, services) {
  const { data, warnings = [] } = response;
  const service = services.get(data.service);
  const changed = warnings.some((each) => each.code === "SERVING_CHANGED");
  const actions = [
    service?.verifiable && button("Verify now", () => verify(app, data, service.title), { kind: "primary", symbol: "verify" }),
    changed && button("Disable the new key", () => disable(app, data), { symbol: "undo" }),
    linkButton("Store another key", "#/store", { symbol: "plus" }),
  ].filter(Boolean);
  app.go(keyHref(data), outcome(`“${data.name}” is stored`, response, actions));
}

/**
 * The form to replace a secret value.
 * @param {import("../main.js").App} app
 * @param {import("../main.js").Route} route
 */
export function replaceKey(app, { id, signal, draft }) {
  const title = h("h1", { tabindex: "-1" }, "Replace a key");
  let form = null;
  const content = region(
    signal,
    "Loading the key …",
    () => Promise.all([app.api.get(id, signal), app.services().catch(() => new Map())]),
    ([{ data }, services]) => {
      fill(title, `Replace “${data.name}”`);
      app.setTitle(`Replace ${data.name}`);
      form = replaceForm(app, data, services.get(data.service), draft ?? {});
      return form.element;
    },
  );
  return {
    title: "Replace a key",
    draft: () => form?.draft() ?? draft ?? {},
    element: h(
      "div",
      { class: "view" },
      h("div", {}, h("a", { class: "crumb", href: keyHref({ id }) }, "Back to the key"), title),
      content,
    ),
  };
}

function replaceForm(app, key, service, typed) {
  const names = isObject(key.maskedKey) ? Object.keys(key.maskedKey) : [];
  const editor = secretEditor({ fields: service?.fields ?? [], names, update: true });
  const leaked = checkbox({
    label: "This key leaked",
    name: "leaked",
    checked: typed.leaked ?? false,
    hint: "The present value is removed, so that no rollback can bring it back.",
  });
  const steps = h("div", {}, leakSteps(service));
  steps.hidden = !leaked.input.checked;
  leaked.input.addEventListener("change", () => (steps.hidden = !leaked.input.checked));
  const messages = h("div", { class: "messages" });
  const submit = h("button", { type: "submit", class: "button primary" }, "Replace");
  const href = keyHref(key);
  const form = h(
    "form",
    { class: "panel form", novalidate: true, "aria-label": "New value" },
    h("p", {}, "Give the whole new value. The present one is never shown; its mask:"),
    mask(key.maskedKey),
    editor.element,
    leaked.element,
    steps,
    messages,
    h("div", { class: "actions" }, submit, linkButton("Cancel", href)),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    busy(submit, async () => {
      fill(messages);
      if (!editor.validate()) return focusFirstError(form);
      const body = { key: editor.value(), ...(leaked.input.checked && { keepPrevious: false }) };
      if (!(await confirmReplacement(key, leaked.input.checked))) return undefined;
      const mine = [["Secret value", "the new value"]];
      try {
        const response = await withVersion(app, key, mine, (version) => app.api.replace(key.id, version, body));
        editor.clear();
        app.go(href, replaced(app, response, service, leaked.input.checked));
      } catch (error) {
        if (error instanceof Discarded) {
          app.go(href, notice("info", "Your change was discarded. This is the key as it is now."));
          return undefined;
        }
        fill(messages, showErrors(error, editor.fields));
        focusFirstError(form);
      }
      return undefined;
    });
  });
  return { element: form, draft: () => ({ leaked: leaked.input.checked }) };
}

function confirmReplacement(key, leaked) {
  return ask({
    title: `Replace “${key.name}”?`,
    content: [
      h("p", {}, key.active ? "Consumers that use this key get the new value within 60 seconds." : "The key is disabled: no consumer gets it, neither before nor after."),
      h("p", {}, leaked ? "The present value is removed. A rollback is not possible." : "The present value is kept as the previous one, for a rollback."),
      h("p", {}, "Last used: ", time(key.lastUsed), "."),
    ],
    confirm: "Replace",
    danger: leaked,
  });
}

function replaced(app, response, service, leaked) {
  const { data } = response;
  const actions = [
    service?.verifiable && button("Verify now", () => verify(app, data, service.title), { kind: "primary", symbol: "verify" }),
    data.previousKey && button("Roll back", () => rollback(app, data), { symbol: "undo" }),
  ].filter(Boolean);
  return outcome(`“${data.name}” has a new value`, response, actions, leaked ? [leakSteps(service)] : []);
}

function leakSteps(service) {
  const title = service?.title ?? "the service";
  return [
    h("p", {}, h("b", {}, "Further steps after a leak")),
    h(
      "ol",
      { class: "steps" },
      [
        `Revoke the leaked value at ${title}: until then it works for everybody who has it.`,
        `Check the usage and the bill at ${title} for calls that are not yours, since the value was stored.`,
        "Remove the value from the place where it leaked: repository with its history, log, chat, ticket.",
        "Find out who could see it, and replace other secrets that were in the same place.",
      ].map((each) => h("li", {}, each)),
    ),
  ];
}
