/** Modal dialogs on the browser's own <dialog>: focus trap, Escape, focus return. */

import { fill, h, uniqueId } from "./dom.js";
import { errorNotice } from "./ui.js";

/**
 * Return the element that is shown above everything else: the topmost open dialog, or null.
 * @returns {Element|null}
 */
export function topDialog() {
  return [...document.querySelectorAll("dialog[open]")].at(-1) ?? null;
}

/**
 * Ask for a decision, and carry it out while the dialog is open. On an error the dialog stays, with all input.
 * @template T
 * @param {{title: string, content?: unknown, confirm: string, danger?: boolean, cancel?: string,
 *   valid?: () => boolean, action?: () => Promise<T>, failed?: (error: unknown) => Node[]}} options
 *   `valid` is checked first; it shows its own messages. `failed` returns the nodes to show for an error.
 * @returns {Promise<T|true|undefined>} The result of the action, or its error if that `isDecision` of the user;
 *   undefined if the user cancels.
 */
export function ask({ title, content, confirm, danger = false, cancel = "Cancel", valid, action, failed }) {
  const heading = uniqueId("dialog");
  const opener = document.activeElement;
  const messages = h("div", { class: "messages" });
  const submit = h("button", { type: "submit", class: `button ${danger ? "danger" : "primary"}` }, confirm);
  const stop = h("button", { type: "button", class: "button" }, cancel);
  const form = h(
    "form",
    { novalidate: true },
    h("h2", { id: heading, tabindex: "-1" }, title),
    content,
    messages,
    h("div", { class: "actions end" }, stop, submit),
  );
  const dialog = h("dialog", { "aria-labelledby": heading }, form);
  return new Promise((resolve) => {
    let running = false;
    let result;
    const setRunning = (value) => {
      running = value;
      for (const each of [submit, stop]) each.toggleAttribute("disabled", value);
      form.setAttribute("aria-busy", String(value));
    };
    stop.addEventListener("click", () => dialog.close());
    dialog.addEventListener("cancel", (event) => running && event.preventDefault());
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (running || (valid && !valid())) return;
      setRunning(true);
      fill(messages);
      try {
        result = action ? await action() : true;
        dialog.close();
      } catch (error) {
        setRunning(false);
        if (error.isDecision) {
          result = error;
          dialog.close();
          return;
        }
        const shown = failed ? failed(error) : [errorNotice(error)];
        fill(messages, shown);
        submit.focus();
      }
    });
    dialog.addEventListener("close", () => {
      for (const each of dialog.querySelectorAll("input, textarea")) each.value = "";
      dialog.remove();
      if (opener instanceof HTMLElement && opener.isConnected) opener.focus();
      resolve(result);
    });
    document.body.append(dialog);
    dialog.showModal();
    const first = form.querySelector("input, textarea, select");
    (first ?? (danger ? stop : submit)).focus();
  });
}
