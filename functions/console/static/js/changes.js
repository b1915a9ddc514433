/**
 * Changes of keys: state the effect, ask, send the version with the change, resolve conflicts, report the outcome.
 */

import { ask } from "./dialogs.js";
import { h } from "./dom.js";
import { keyHref, maskText, person, relative, time } from "./format.js";
import { checkbox, showErrors, textField } from "./forms.js";
import { descriptionProblem, nameProblem, trim } from "./rules.js";
import { button, countdown, errorNotice, linkButton, notice } from "./ui.js";

/** Consumers act on a change within this time, by the API's contract. */
const PROPAGATION_S = 60;
const WATCHED = { name: "Name", description: "Description", active: "Active", maskedKey: "Secret value" };

/** The user gave up a change after another administrator's change. */
export class Discarded extends Error {
  isDecision = true;

  /** @param {object} latest The key as it is now. */
  constructor(latest) {
    super();
    this.latest = latest;
  }
}

/** @typedef {import("./main.js").App} App */

/**
 * Ask the service whether it accepts a key, and report the answer.
 * @param {App} app
 * @param {object} key
 * @param {string} title The service's title.
 */
export async function verify(app, key, title) {
  try {
    const { data } = await app.api.verify(key.id);
    const [kind, text] = {
      valid: ["success", `${title} accepts “${key.name}”`],
      rejected: ["error", `${title} rejects “${key.name}”`],
    }[data.verification?.status] ?? ["warning", `Could not find out whether ${title} accepts “${key.name}”`];
    app.notify(notice(kind, text, [h("p", {}, data.verification?.detail)], replaceAction(data)));
    app.changed(data);
  } catch (error) {
    app.notify(errorNotice(error));
  }
}

function replaceAction(key) {
  return key.verification?.status === "rejected" ? [linkButton("Replace the key", `${keyHref(key)}/replace`, { kind: "primary" })] : [];
}

/**
 * Send a change with the version that the user saw. After another administrator's change, show it and let the user
 * decide.
 * @template T
 * @param {App} app
 * @param {object} key As the user saw it.
 * @param {[string, unknown][]} mine The change, as labels and values to show.
 * @param {(version: number) => Promise<T>} perform
 * @returns {Promise<T>}
 */
export async function withVersion(app, key, mine, perform) {
  for (let base = key; ; ) {
    try {
      return await perform(base.version);
    } catch (error) {
      if (error.code !== "VERSION_CONFLICT") throw error;
      const { data: latest } = await app.api.get(key.id);
      // The answer to an earlier attempt of this request was lost: the change is made.
      const own = error.retried && latest.version === base.version + 1 && latest.updatedBy === app.auth.subject;
      if (own) return { data: latest };
      if (!(await askAfterConflict(base, latest, mine))) throw new Discarded(latest);
      base = latest;
    }
  }
}

function askAfterConflict(base, latest, mine) {
  const differing = Object.entries(WATCHED).filter(([field]) => shown(base[field]) !== shown(latest[field]));
  const replaced = base.keyUpdatedAt !== latest.keyUpdatedAt;
  const rows = differing.map(([field, label]) => [label, shown(base[field]), shown(latest[field])]);
  if (replaced && !differing.some(([field]) => field === "maskedKey")) {
    rows.push(["Secret value", shown(base.maskedKey), `${shown(latest.maskedKey)} (replaced)`]);
  }
  return ask({
    title: "Another administrator changed this key",
    content: [
      h("p", {}, `${person(latest.updatedByName, latest.updatedBy)} changed it ${relative(latest.updatedAt)}. Your change is not made yet.`),
      rows.length > 0
        ? table(["Field", "You saw", "Now"], rows)
        : h("p", {}, "The fields that you see here have the same values as before."),
      h("p", {}, h("b", {}, "Your change: "), mine.map(([label, value]) => `${label}: ${shown(value)}`).join("; ")),
    ],
    confirm: "Apply my change on top",
    cancel: "Discard mine",
  });
}

function shown(value) {
  if (value === null || value === undefined || value === "") return "none";
  if (typeof value === "boolean") return value ? "yes" : "no";
  return typeof value === "object" ? maskText(value) : String(value);
}

function table(headings, rows) {
  return h(
    "div",
    { class: "scroll" },
    h(
      "table",
      { class: "plain" },
      h("thead", {}, h("tr", {}, headings.map((each) => h("th", { scope: "col" }, each)))),
      h("tbody", {}, rows.map(([first, ...others]) => h("tr", {}, h("th", { scope: "row" }, first), others.map((each) => h("td", {}, each))))),
    ),
  );
}

/**
 * Ask for a change, make it and report it.
 * @param {App} app
 * @param {object} key
 * @param {{title: string, content?: unknown, confirm: string, danger?: boolean, valid?: () => boolean,
 *   mine: [string, unknown][] | (() => [string, unknown][]), perform: (version: number) => Promise<object>,
 *   done: string, undo?: (response: object) => HTMLElement[], failed?: (error: unknown) => Node[]}} options
 * @returns {Promise<object|undefined>} The response; undefined if no change was made.
 */
async function change(app, key, { mine, perform, done, undo, ...dialog }) {
  const response = await ask({
    ...dialog,
    action: () => withVersion(app, key, typeof mine === "function" ? mine() : mine, perform),
  });
  if (!response) return undefined;
  return report(app, response, done, undo);
}

/** Show the key as it is now, and report the change or that it was given up. */
function report(app, response, done, undo) {
  if (response instanceof Discarded) {
    app.notify(notice("info", "Your change was discarded. This is the key as it is now."));
    app.changed(response.latest);
    return undefined;
  }
  app.notify(outcome(done, response, undo?.(response) ?? []));
  if (!response.data.deletedAt) app.changed(response.data);
  return response;
}

/**
 * Report a change: its effect on consumers, the warnings, the way back.
 * @param {string} title
 * @param {object} response
 * @param {HTMLElement[]} [actions]
 * @param {unknown[]} [more]
 * @returns {HTMLElement}
 */
export function outcome(title, response, actions = [], more = []) {
  const warnings = response.warnings ?? [];
  const texts = warnings.map((each) => warningText(each, response.data.id));
  return notice(warnings.length > 0 ? "warning" : "success", title, [more, texts, effective(response)], actions);
}

/** Show a warning with links to the other keys that it names. */
function warningText(warning, own) {
  const link = (label, key) => key && key.id !== own && [` ${label}: `, h("a", { href: keyHref(key) }, key.name), "."];
  const keys = [link("Before", warning.before), link("Now", warning.now)];
  const similar = warning.similar && [" ", h("a", { href: `#/store?service=${warning.similar}` }, `Store a key for ${warning.similar}`), "."];
  return h("p", { "data-warning": warning.code }, warning.message, keys, similar);
}

/** Count down by the server's clock: from the time of the change to `effectiveBy`. */
function effective({ data, effectiveBy, warnings = [] }) {
  const changed = warnings.some((each) => each.code === "SERVING_CHANGED");
  if (!effectiveBy) return changed ? countdown(PROPAGATION_S) : null;
  const seconds = (Date.parse(effectiveBy) - Date.parse(data.deletedAt ?? data.updatedAt)) / 1000;
  return countdown(seconds > 0 && seconds <= 600 ? seconds : PROPAGATION_S);
}

/**
 * Return the active keys of a service, the one that consumers get first.
 * @param {App} app
 * @param {string} service
 * @returns {Promise<object[]|null>} Null if they cannot be read.
 */
export async function activeKeys(app, service) {
  try {
    return (await app.api.list({ service, active: "true", limit: 100 })).data;
  } catch {
    return null;
  }
}

/** State the effect of the loss of a key on its consumers. */
async function lossEffect(app, key) {
  if (!key.active) return h("p", {}, "The key is disabled: no consumer gets it.");
  const active = await activeKeys(app, key.service);
  if (!active) return h("p", {}, "Consumers that get this key get another active key of the service or an error, within 60 seconds.");
  const [serving] = active;
  const next = active.find((each) => each.id !== key.id);
  const named = "Consumers that ask for it by its name get an error.";
  if (serving && serving.id !== key.id) return h("p", {}, `Consumers of ${key.service} get “${serving.name}”, and keep it. ${named}`);
  if (next) return h("p", {}, `Consumers of ${key.service} get “${next.name}” instead, within 60 seconds. ${named}`);
  return h("p", { class: "effect-strong" }, `It is the only active key of ${key.service}: consumers get an error within 60 seconds.`);
}

function lastUse(key) {
  return h("p", {}, "Last used: ", key.lastUsed ? time(key.lastUsed) : "never", ".");
}

/** Disable a key. */
export async function disable(app, key) {
  return change(app, key, {
    title: `Disable “${key.name}”?`,
    content: [await lossEffect(app, key), lastUse(key)],
    confirm: "Disable",
    danger: true,
    mine: [["Active", false]],
    perform: (version) => app.api.update(key.id, version, { active: false }),
    done: `“${key.name}” is disabled`,
    undo: ({ data }) => [button("Enable again", () => enable(app, data), { symbol: "undo" })],
  });
}

/** Enable a key; ask first if consumers get it in place of another one. */
export async function enable(app, key) {
  const [serving] = (await activeKeys(app, key.service)) ?? [];
  const options = {
    title: `Enable “${key.name}”?`,
    confirm: "Enable",
    mine: [["Active", true]],
    perform: (version) => app.api.update(key.id, version, { active: true }),
    done: `“${key.name}” is enabled`,
    undo: ({ data }) => [button("Disable again", () => disable(app, data), { symbol: "undo" })],
  };
  if (serving && serving.createdAt < key.createdAt) {
    const text = `Consumers of ${key.service} get this key in place of “${serving.name}”, because it is newer, within 60 seconds.`;
    return change(app, key, { ...options, content: h("p", {}, text) });
  }
  return direct(app, key, options);
}

/** Make a change without a question. */
async function direct(app, key, { mine, perform, done, undo }) {
  try {
    return report(app, await withVersion(app, key, mine, perform), done, undo);
  } catch (error) {
    if (error instanceof Discarded) return report(app, error, done);
    app.notify(errorNotice(error));
    return undefined;
  }
}

/** Create the field in which the user confirms a deletion by the key's name. */
function confirmationField(key) {
  const matches = (text) => text.normalize() === key.name.normalize();
  return textField({
    label: "Type the name of the key to confirm",
    name: "confirmation",
    required: true,
    hint: key.name,
    check: (text) => (matches(text) ? null : "this is not the name of the key"),
  });
}

/** Delete a key: for some days it can be restored, unless the user wants it gone at once. */
export async function remove(app, key) {
  const field = confirmationField(key);
  const permanent = checkbox({
    label: "Delete permanently",
    name: "permanent",
    hint: "The secret values are removed at once, and the key cannot be restored. Without this, it can be restored for some days.",
  });
  return change(app, key, {
    title: `Delete “${key.name}”?`,
    content: [await lossEffect(app, key), h("p", {}, "Its name becomes free at once."), field.element, permanent.element, lastUse(key)],
    confirm: "Delete",
    danger: true,
    valid: () => confirmed(field),
    mine: [["Delete the key", true]],
    perform: (version) => (permanent.input.checked ? app.api.removePermanently(key.id, version) : app.api.remove(key.id, version)),
    done: `“${key.name}” is deleted`,
    undo: ({ data }) =>
      data.recoverableUntil ? [button("Restore", () => restore(app, { ...key, ...data, version: key.version + 1 }), { symbol: "undo" })] : [],
  });
}

/** Delete a deleted key and its secret values at once. */
export function removePermanently(app, key) {
  const field = confirmationField(key);
  return change(app, key, {
    title: `Delete “${key.name}” permanently?`,
    content: [
      h("p", {}, "No consumer gets the key. It and its secret values are removed at once."),
      h("p", { class: "effect-strong" }, "It cannot be restored."),
      field.element,
      lastUse(key),
    ],
    confirm: "Delete permanently",
    danger: true,
    valid: () => confirmed(field),
    mine: [["Delete permanently", true]],
    perform: (version) => app.api.removePermanently(key.id, version),
    done: `“${key.name}” is deleted permanently`,
  });
}

function confirmed(field) {
  if (field.validate()) return true;
  field.input.focus();
  return false;
}

/** Restore a deleted key; ask for another name if its name is taken. */
export async function restore(app, key) {
  let response;
  try {
    response = await app.api.restore(key.id, key.version);
  } catch (error) {
    if (error.code !== "DUPLICATE_API_KEY_NAME") {
      app.notify(errorNotice(error));
      return undefined;
    }
    response = await restoreRenamed(app, key);
  }
  if (!response) return undefined;
  app.go(keyHref(response.data), outcome(`“${response.data.name}” is restored`, response));
  return response;
}

function restoreRenamed(app, key) {
  const field = textField({ label: "New name", name: "name", value: `${key.name} (restored)`, required: true, check: nameProblem });
  return ask({
    title: `Restore “${key.name}” under another name`,
    content: [h("p", {}, "Another key has this name by now. Consumers that read the key by its name must change to the new one."), field.element],
    confirm: "Restore",
    valid: () => confirmed(field),
    action: () => app.api.restore(key.id, key.version, trim(field.input.value)),
    failed: (error) => [showErrors(error, { name: field })],
  });
}

/** Exchange the secret value and the previous one. */
export async function rollback(app, key) {
  const effect = key.active ? "Consumers that use this key get the previous value within 60 seconds." : "The key is disabled: no consumer gets it.";
  return change(app, key, {
    title: `Roll back “${key.name}”?`,
    content: [
      h("p", {}, effect, " The present value becomes the previous one, so that you can return to it."),
      table(["", "Secret value"], [["Now", maskText(key.maskedKey)], ["After the rollback", maskText(key.previousKey.maskedKey)]]),
      lastUse(key),
    ],
    confirm: "Roll back",
    mine: [["Roll back to", maskText(key.previousKey.maskedKey)]],
    perform: (version) => app.api.rollback(key.id, version),
    done: `“${key.name}” has its previous value`,
    undo: ({ data }) => (data.previousKey ? [button("Undo the rollback", () => rollback(app, data), { symbol: "undo" })] : []),
  });
}

/** Remove the previous secret value, which a rollback would bring back. */
export function forgetPrevious(app, key) {
  return change(app, key, {
    title: "Remove the previous value?",
    content: h("p", {}, "A rollback is not possible afterwards. Consumers are not affected."),
    confirm: "Remove",
    danger: true,
    mine: [["Remove the previous value", true]],
    perform: (version) => app.api.update(key.id, version, { keepPrevious: false }),
    done: "The previous value is removed",
  });
}

/** Change the name and the description. */
export function editDetails(app, key) {
  const name = textField({
    label: "Name",
    name: "name",
    value: key.name,
    required: true,
    check: nameProblem,
    hint: "Consumers that read the key by its name must change with it.",
  });
  const description = textField({ label: "Description", name: "description", value: key.description ?? "", multiline: true, check: descriptionProblem });
  const changes = () => {
    const [newName, newDescription] = [trim(name.input.value), trim(description.input.value)];
    return {
      ...(newName !== key.name && { name: newName }),
      ...(newDescription !== (key.description ?? "") && { description: newDescription || null }),
    };
  };
  return change(app, key, {
    title: `Edit “${key.name}”`,
    content: [name.element, description.element],
    confirm: "Save",
    valid: () => {
      const valid = [name.validate(), description.validate()].every(Boolean);
      if (valid && Object.keys(changes()).length === 0) {
        name.setError("nothing is changed yet; change a field, or cancel");
        return false;
      }
      return valid;
    },
    mine: () => Object.entries(changes()).map(([field, value]) => [WATCHED[field], value]),
    perform: (version) => app.api.update(key.id, version, changes()),
    done: "The details are saved",
    failed: (error) => [showErrors(error, { name, description })],
  });
}
