/** Form fields with labels, hints and messages; the editor for a secret value. */

import { ApiError } from "./api.js";
import { fill, h, icon, uniqueId } from "./dom.js";
import { fieldNameProblem, fieldProblem, patternProblem, secretProblems } from "./rules.js";
import { button, errorNotice } from "./ui.js";

/** Attributes that keep browsers and password managers from filling in, storing and correcting a secret value. */
const PRIVATE = {
  autocomplete: "new-password",
  autocapitalize: "off",
  autocorrect: "off",
  spellcheck: "false",
  "data-1p-ignore": "true",
  "data-bwignore": "true",
  "data-form-type": "other",
  "data-lpignore": "true",
};

/**
 * @typedef {object} Field
 * @property {HTMLElement} element
 * @property {HTMLInputElement|HTMLTextAreaElement} input
 * @property {(message: string|null) => void} setError
 * @property {() => boolean} validate Show the problem of the value, if any; return true if there is none.
 */

/**
 * Create a field for text.
 * @param {{label: string, name: string, type?: string, value?: string, hint?: unknown, required?: boolean,
 *   multiline?: boolean, check?: (value: string) => string|null, attributes?: Record<string, unknown>, after?: unknown}}
 *   options `check` returns the problem of a value that is not empty.
 * @returns {Field}
 */
export function textField(options) {
  const { label, name, type = "text", value = "", hint, required = false, multiline = false, check, after } = options;
  const id = uniqueId(name);
  const secret = type === "password" ? PRIVATE : { autocomplete: "off" };
  const attributes = { id, name, required, "aria-describedby": `${id}-hint ${id}-error`, ...secret, ...options.attributes };
  const input = multiline ? h("textarea", { rows: 3, ...attributes }) : h("input", { type, ...attributes });
  input.value = value;
  const error = h("p", { id: `${id}-error`, class: "field-error" });
  const setError = (message) => {
    fill(error, message && [icon("warning"), sentence(message)]);
    if (message) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  };
  const problem = () => (input.value ? (check?.(input.value) ?? null) : required ? "give a value" : null);
  // While a value is typed for the first time, it is incomplete: its problem is shown when the user leaves the field.
  let left = value !== "";
  input.addEventListener("input", (event) => {
    left ||= event.inputType === "insertFromPaste" || event.inputType === "insertFromDrop";
    setError(input.value && left ? problem() : null);
  });
  input.addEventListener("blur", () => {
    if (!input.value) return;
    left = true;
    setError(problem());
  });
  const element = h(
    "div",
    { class: "field" },
    h("label", { for: id }, label, !required && h("span", { class: "muted" }, " (optional)")),
    h("div", { class: "control" }, input, after),
    error,
    h("p", { id: `${id}-hint`, class: "small muted" }, hint),
  );
  return {
    element,
    input,
    setError,
    validate() {
      left = true;
      const found = problem();
      setError(found);
      return !found;
    },
  };
}

/**
 * Create a checkbox.
 * @param {{label: string, name: string, checked?: boolean, hint?: unknown}} options
 * @returns {{element: HTMLElement, input: HTMLInputElement}}
 */
export function checkbox({ label, name, checked = false, hint }) {
  const id = uniqueId(name);
  const input = h("input", { type: "checkbox", id, name, checked, "aria-describedby": hint ? `${id}-hint` : null });
  const text = h("div", {}, h("label", { for: id }, label), hint && h("p", { id: `${id}-hint`, class: "small muted" }, hint));
  return { element: h("div", { class: "check" }, input, text), input };
}

/**
 * Create a labelled choice.
 * @param {{label: string, name: string, options: [string, string][], value?: string}} options Values and their texts.
 * @returns {{element: HTMLElement, input: HTMLSelectElement, setOptions: (options: [string, string][]) => void}}
 */
export function select({ label, name, options, value = "" }) {
  const id = uniqueId(name);
  const input = h("select", { id, name });
  const setOptions = (pairs) => {
    const chosen = input.value || value;
    fill(input, pairs.map(([each, text]) => h("option", { value: each }, text)));
    input.value = pairs.some(([each]) => each === chosen) ? chosen : pairs[0][0];
  };
  setOptions(options);
  return { element: h("div", { class: "field" }, h("label", { for: id }, label), input), input, setOptions };
}

/**
 * Show the errors of a request at their fields.
 * @param {unknown} error
 * @param {Record<string, Field>} fields By the API's name.
 * @returns {HTMLElement} The rest of the error: its message, and the details without a field here.
 */
export function showErrors(error, fields) {
  if (!(error instanceof ApiError)) return errorNotice(error);
  const at = (detail) => fields[detail.field];
  for (const detail of error.details.filter(at)) at(detail).setError(detail.message);
  if (error.code === "DUPLICATE_API_KEY_NAME") fields.name?.setError(error.message);
  const rest = new ApiError(error.message, { ...error, details: error.details.filter((detail) => !at(detail)) });
  return errorNotice(rest);
}

/**
 * Move the focus to the first field with an error.
 * @param {Element} form
 */
export function focusFirstError(form) {
  form.querySelector("[aria-invalid=true]")?.focus();
}

/** Make a sentence of one of the API's messages. */
function sentence(message) {
  const text = message.charAt(0).toUpperCase() + message.slice(1);
  return /[.?!]$/.test(text) ? text : `${text}.`;
}

/** Create a field for a secret value that only its typist can show. */
function secretField({ label, name, required = true, secret = true, multiline = false, check, hint, onLines }) {
  const attributes = { ...PRIVATE, ...(multiline && { class: "concealed", rows: 6, wrap: "off" }), "data-secret": true };
  const show = h("button", { type: "button", class: "button quiet show", "aria-pressed": "false", "aria-label": `Show ${label}` }, "Show");
  const field = textField({
    label,
    name,
    required,
    multiline,
    check,
    hint,
    type: secret ? "password" : "text",
    attributes,
    after: secret && show,
  });
  show.addEventListener("click", () => {
    const open = show.getAttribute("aria-pressed") !== "true";
    show.setAttribute("aria-pressed", String(open));
    if (multiline) field.input.classList.toggle("concealed", !open);
    else field.input.type = open ? "text" : "password";
  });
  // A field of one line drops line breaks without a word, and would so change the value.
  if (!multiline) {
    field.input.addEventListener("paste", (event) => {
      const text = event.clipboardData?.getData("text") ?? "";
      if (!/[\r\n]/.test(text.trim())) return;
      event.preventDefault();
      if (onLines) onLines(text);
      else field.setError("the pasted text has several lines; paste the value only");
    });
  }
  return field;
}

/**
 * Create the editor for a secret value: the fields of the service's format, or a choice for an unknown service.
 * @param {{fields: {name: string|null, label: string, pattern: string, secret: boolean, required: boolean}[],
 *   names?: string[], update?: boolean}} options `fields`: of the service; empty if it is not known. `names`: the fields
 *   of the stored key, if it has other ones than the service's.
 */
export function secretEditor({ fields, names = [], update = false }) {
  const own = fields.map((field) => field.name);
  const fixed = fields.length > 0 && (names.length === 0 || names.every((name) => own.includes(name)));
  return fixed ? formatEditor(fields, update) : freeEditor(fields, names, update);
}

function formatEditor(format, update) {
  const shown = format.map((each) => {
    const check = (text) => fieldProblem(text, update) ?? patternProblem(text, each);
    const label = each.name === null ? each.label : `${each.label}`;
    return [each, secretField({ ...each, label, name: each.name ?? "key", check })];
  });
  const single = format[0].name === null;
  const value = () => {
    if (single) return shown[0][1].input.value;
    const filled = shown.filter(([each, field]) => each.required || field.input.value);
    return Object.fromEntries(filled.map(([each, field]) => [each.name, field.input.value]));
  };
  const byName = () => Object.fromEntries(shown.map(([each, field]) => [each.name === null ? "key" : `key.${each.name}`, field]));
  return editor(h("div", { class: "stack" }, shown.map(([, field]) => field.element)), byName, value, update);
}

const SHAPES = [
  ["one", "One value", "A key or token of one line"],
  ["lines", "Several lines", "A PEM or JSON file, stored as it is"],
  ["named", "Named fields", "Such as an id and a secret"],
];

function freeEditor(format, names, update) {
  const group = uniqueId("shape");
  const body = h("div", { class: "stack" });
  const radios = SHAPES.map(([value, label, hint]) => {
    const id = uniqueId("shape");
    const input = h("input", { type: "radio", name: group, id, value });
    input.addEventListener("change", () => use(value));
    return [value, input, h("div", { class: "check" }, input, h("div", {}, h("label", { for: id }, label), h("p", { class: "small muted" }, hint)))];
  });
  let part;
  const use = (shape, text = "") => {
    radios.forEach(([value, input]) => (input.checked = value === shape));
    part = shape === "named" ? namedFields(names, update) : oneField(shape === "lines", update, format, (pasted) => use("lines", pasted));
    fill(body, part.element);
    if (text) {
      part.byName().key.input.value = text;
      part.byName().key.validate();
      part.byName().key.input.focus();
    }
  };
  use(names.length > 0 ? "named" : "one");
  const shapes = h("fieldset", { class: "shapes" }, h("legend", {}, "Form of the key"), radios.map(([, , element]) => element));
  return editor(h("div", { class: "stack" }, shapes, body), () => part.byName(), () => part.value(), update);
}

function oneField(multiline, update, format, onLines) {
  const pattern = format[0]?.name === null ? format[0] : null;
  const check = (text) => {
    const problem = fieldProblem(text, update) ?? (pattern && patternProblem(text, pattern));
    return problem ?? secretProblems(text, update)[0]?.message ?? null;
  };
  const hint = multiline ? "A line break at the end is kept." : null;
  const field = secretField({ label: "Secret value", name: "key", multiline, check, hint, onLines });
  return { element: field.element, byName: () => ({ key: field }), value: () => field.input.value };
}

function namedFields(names, update) {
  const rows = [];
  const list = h("div", { class: "stack" });
  const add = (name = "", focus = false) => {
    const number = rows.length + 1;
    const title = textField({ label: `Name of field ${number}`, name: "fieldName", value: name, required: true, check: fieldNameProblem });
    const check = (text) => fieldProblem(text, update);
    const value = secretField({ label: `Value of field ${number}`, name: "fieldValue", check, multiline: false, onLines: null });
    const row = { title, value };
    const remove = button("Remove", () => {
      rows.splice(rows.indexOf(row), 1);
      element.remove();
      (rows.at(-1) ?? add("")).title.input.focus();
    }, { kind: "quiet", name: `Remove field ${number}` });
    const element = h("div", { class: "named-row", role: "group", "aria-label": `Field ${number}` }, title.element, value.element, remove);
    rows.push(row);
    list.append(element);
    if (focus) title.input.focus();
    return row;
  };
  (names.length > 0 ? names : ["", ""]).forEach((name) => add(name));
  const more = button("Add a field", () => rows.length < 20 && add("", true), { symbol: "plus" });
  const byName = () => ({
    ...Object.fromEntries(rows.map((row) => [`key.${row.title.input.value}`, row.value])),
    ...Object.fromEntries(rows.map((row, index) => [`title.${index}`, row.title])),
  });
  const value = () => Object.fromEntries(rows.map((row) => [row.title.input.value, row.value.input.value]));
  const duplicate = () => {
    const seen = rows.map((row) => row.title.input.value);
    const twice = rows.find((row, index) => seen.indexOf(row.title.input.value) !== index);
    twice?.title.setError("another field has this name; name each field once");
    return twice !== undefined;
  };
  return { element: h("div", { class: "stack" }, list, h("div", {}, more)), byName, value, duplicate };
}

/** Complete an editor with what all of them do. */
function editor(element, byName, value, update) {
  const message = h("div", { role: "alert" });
  element.append(message);
  return {
    element,
    value,
    /** @returns {Record<string, Field>} The fields by the API's names: `key`, `key.clientId` … */
    get fields() {
      return byName();
    },
    /** Show the problems; return true if there are none. */
    validate() {
      fill(message);
      const valid = Object.values(byName()).map((field) => field.validate());
      if (valid.includes(false)) return false;
      const names = Object.values(byName()).filter((field) => field.input.name === "fieldName");
      if (names.length !== new Set(names.map((field) => field.input.value)).size) {
        names.at(-1).setError("another field has this name; name each field once");
        return false;
      }
      const [problem] = secretProblems(value(), update);
      if (problem) (byName()[problem.field] ?? Object.values(byName())[0]).setError(problem.message);
      return !problem;
    },
    /** Empty all fields. */
    clear() {
      for (const field of Object.values(byName())) field.input.value = "";
    },
  };
}
