/** Start the console: configuration, sign-in, router. */

import { createApi } from "./api.js";
import { createAuth, SignInError } from "./auth.js";
import { ask, topDialog } from "./dialogs.js";
import { fill, h } from "./dom.js";
import { refreshTimes } from "./format.js";
import { button, errorNotice, waitVisibly } from "./ui.js";
import { deletedKeys } from "./views/deleted.js";
import { keyPage } from "./views/key.js";
import { keys } from "./views/keys.js";
import { overview } from "./views/overview.js";
import { forbiddenView, signInError, signInView, tokenField } from "./views/signin.js";
import { replaceKey, storeKey } from "./views/store.js";

/** Views by the pattern of the fragment's path; `:id` stands for one segment. */
const ROUTES = [
  ["/", overview],
  ["/keys", keys],
  ["/keys/:id", keyPage],
  ["/keys/:id/replace", replaceKey],
  ["/store", storeKey],
  ["/deleted", deletedKeys],
];
const byId = (id) => document.getElementById(id);

/**
 * @typedef {object} Route
 * @property {string|null} id The id of a key in the path.
 * @property {URLSearchParams} query
 * @property {AbortSignal} signal Aborted when the view is left.
 * @property {object|null} draft What the user had typed before a new sign-in.
 *
 * @typedef {object} View
 * @property {string} title
 * @property {HTMLElement} element
 * @property {() => object} [draft] Return what the user typed, without secret values.
 * @property {() => Promise<void>} [reload] Load the data again.
 * @property {(key: object) => void} [changed] Show a changed key at once.
 */

/** What views have in common. */
export class App {
  #view = null;
  #controller = new AbortController();
  #services = null;
  #keepNotices = false;
  #signingIn = null;

  constructor(auth) {
    this.auth = auth;
    this.api = createApi(new URL("../api/v1/admin/", location.href), auth, {
      unauthorized: (error) => this.#signInAgain(error),
      forbidden: () => this.forbid(),
      wait: (error, signal) => this.#wait(error, signal),
    });
  }

  /** Show the view of the fragment. `draft`: see `Route`. */
  show(draft = null) {
    this.#controller.abort();
    this.#controller = new AbortController();
    if (!this.#keepNotices) fill(byId("notices"));
    this.#keepNotices = false;
    const [path, query = ""] = (location.hash.slice(1) || "/").split(/\?(.*)/s);
    const signal = this.#controller.signal;
    this.#mount(this.auth.signedIn ? this.#find(path, { query: new URLSearchParams(query), signal, draft }) : this.signInView());
    for (const link of byId("nav").querySelectorAll("a")) {
      const current = link.hash && (link.hash === `#${path}` || (link.hash === "#/keys" && path.startsWith("/keys/")));
      if (current) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }

  /** Return the sign-in page. */
  signInView(error = null) {
    return signInView(this, { error, signedIn: () => this.show() });
  }

  /** Show the sign-in page with an error. */
  showSignIn(error) {
    this.#mount(this.signInView(error));
  }

  #find(path, route) {
    for (const [pattern, view] of ROUTES) {
      const match = new RegExp(`^${pattern.replace(":id", "([^/]+)")}$`).exec(path);
      if (match) return view(this, { ...route, id: match[1] ? decode(match[1]) : null });
    }
    return notFound();
  }

  #mount(view) {
    this.#view = view;
    document.title = `${view.title} · Service Keys`;
    byId("nav").hidden = !this.auth.signedIn;
    byId("account").hidden = !this.auth.signedIn;
    if (this.auth.signedIn) {
      fill(
        byId("account"),
        h("span", { class: "account-name", title: "Signed in as" }, this.auth.name),
        button("Sign out", () => this.auth.signOut(), { kind: "quiet" }),
      );
    }
    fill(byId("view"), view.element);
    scrollTo(0, 0);
    view.element.querySelector("h1")?.focus({ preventScroll: true });
  }

  /** Go to another view, with a notice that is shown there. */
  go(hash, notice = null) {
    if (notice) {
      this.notify(notice);
      this.#keepNotices = true;
    }
    if (location.hash === hash) this.show();
    else location.hash = hash;
  }

  /** Let the view show a changed key. At once, so that the next change names its new version. */
  changed(key) {
    if (this.#view?.changed) this.#view.changed(key);
    else this.#view?.reload?.();
    if (document.activeElement === document.body) byId("view").querySelector("h1")?.focus({ preventScroll: true });
  }

  /** Set the title of the present view once it is known. */
  setTitle(title) {
    document.title = `${title} · Service Keys`;
  }

  /** Show a notice above the view, in place of the previous one. */
  notify(notice) {
    const close = button("Dismiss", () => wrapper.remove(), { kind: "quiet" });
    const wrapper = h("div", { class: "dismissible" }, notice, close);
    fill(byId("notices"), wrapper);
    wrapper.scrollIntoView({ block: "nearest" });
  }

  /** Announce a text to screen readers. */
  announce(text) {
    byId("live").textContent = text;
  }

  /** Return the services by name. Fetched once: formats and titles do not change while the page is open. */
  async services() {
    if (!this.#services) this.rememberServices((await this.api.services()).data);
    return this.#services;
  }

  /** Keep the services of a response. */
  rememberServices(services) {
    this.#services = new Map(services.map((each) => [each.service, each]));
  }

  /** Show that the user is not an administrator. */
  forbid() {
    topDialog()?.close();
    this.#controller.abort();
    this.#mount(forbiddenView(this));
  }

  async #wait(error, signal) {
    const text = error.code === "OFFLINE" ? "You are offline." : error.message;
    const seconds = error.code === "OFFLINE" ? null : error.retryAfter;
    const place = topDialog()?.querySelector(".messages") ?? byId("waiting");
    if (!(await waitVisibly(place, text, seconds, signal))) throw error;
  }

  /** Sign in again in a dialog. Several requests that fail at the same time share it. */
  async #signInAgain(error) {
    this.#signingIn ??= this.#askForSignIn().finally(() => (this.#signingIn = null));
    if (!(await this.#signingIn)) throw error;
  }

  #askForSignIn() {
    const text = "Your sign-in has ended, or the API does not accept it.";
    if (this.auth.mode === "oidc") {
      return ask({
        title: "Sign in again",
        content: h("p", {}, `${text} You return to this page with everything that you typed, except secret values.`),
        confirm: "Sign in again",
        action: async () => {
          await this.auth.signIn(location.hash, this.#view?.draft?.() ?? null);
          await new Promise(() => {}); // The browser leaves the page.
        },
        failed: (failure) => [signInError(failure)],
      });
    }
    const field = tokenField();
    return ask({
      title: "Sign in again",
      content: [h("p", {}, `${text} Everything that you typed stays.`), field.element],
      confirm: "Sign in",
      valid: () => field.validate(),
      action: async () => {
        this.auth.useToken(field.input.value);
        return true;
      },
      failed: (failure) => [signInError(failure)],
    });
  }
}

function notFound() {
  return {
    title: "Not found",
    element: h(
      "div",
      { class: "panel narrow" },
      h("h1", { tabindex: "-1" }, "There is no such page"),
      h("p", {}, h("a", { href: "#/" }, "Go to the overview")),
    ),
  };
}

function decode(segment) {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

async function loadConfig() {
  const response = await fetch("config.json", { cache: "no-store", signal: AbortSignal.timeout(30000) });
  const config = await response.json();
  if (config?.signIn !== "oidc" && config?.signIn !== "token") throw new Error("config.json is not usable");
  return config;
}

async function start() {
  let config;
  try {
    config = await loadConfig();
  } catch {
    fill(byId("view"), h("h1", {}, "Service Keys"), errorNotice(new SignInError(), () => location.reload()));
    return;
  }
  const app = new App(createAuth(config));
  let draft = null;
  let failure = null;
  try {
    ({ draft } = await app.auth.complete());
  } catch (error) {
    failure = error;
  }
  addEventListener("hashchange", () => app.show());
  if (failure) app.showSignIn(failure);
  else app.show(draft);
}

byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("main").focus();
});
setInterval(refreshTimes, 30_000);
start();
