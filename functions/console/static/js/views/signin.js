/** The sign-in page, and the page of a signed-in user who is not an administrator. */

import { SignInError } from "../auth.js";
import { fill, h } from "../dom.js";
import { textField } from "../forms.js";
import { busy, button, notice } from "../ui.js";

/**
 * @param {import("../main.js").App} app
 * @param {{error: unknown, signedIn: () => void}} options
 */
export function signInView(app, { error, signedIn }) {
  const messages = h("div", { class: "messages", role: "alert" }, error && signInError(error));
  const form = app.auth.mode === "oidc" ? oidcForm(app, messages) : tokenForm(app, messages, signedIn);
  return {
    title: "Sign in",
    element: h(
      "div",
      { class: "panel narrow" },
      h("h1", { tabindex: "-1" }, "Sign in"),
      h("p", { class: "muted" }, "Store, replace and verify the API keys of external services."),
      messages,
      form,
    ),
  };
}

function oidcForm(app, messages) {
  const start = async () => {
    fill(messages);
    try {
      await app.auth.signIn(location.hash);
    } catch (failure) {
      fill(messages, signInError(failure));
    }
  };
  return h("div", { class: "actions" }, button("Sign in", start, { kind: "primary" }));
}

/** The form to paste a token, for issuers without a sign-in page. */
function tokenForm(app, messages, signedIn) {
  const field = tokenField();
  const submit = h("button", { type: "submit", class: "button primary" }, "Sign in");
  const form = h("form", { novalidate: true }, field.element, h("div", { class: "actions" }, submit));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    busy(submit, () => {
      try {
        app.auth.useToken(field.input.value);
        field.input.value = "";
        signedIn();
      } catch (failure) {
        fill(messages, signInError(failure));
        field.input.focus();
      }
    });
  });
  return form;
}

/** Create the field for a token. */
export function tokenField() {
  return textField({
    label: "Token",
    type: "password",
    name: "token",
    required: true,
    hint: "An administrator's access token (a JWT). Locally, make token prints one. It stays in this page's memory until you leave the page.",
  });
}

/** Describe a failed sign-in. */
export function signInError(error) {
  const known = error instanceof SignInError || typeof error === "string";
  return notice("error", known ? String(error.message ?? error) : "The sign-in failed. Try again, or reload the page.");
}

/** The page of a user who is signed in and not an administrator. */
export function forbiddenView(app) {
  return {
    title: "Not an administrator",
    element: h(
      "div",
      { class: "panel narrow" },
      h("h1", { tabindex: "-1" }, "No access"),
      h("p", {}, `${app.auth.name} is not an administrator of Service Keys.`),
      h("div", { class: "actions" }, button("Sign out", () => app.auth.signOut(), { kind: "primary" })),
    ),
  };
}
