/** The deleted keys that can be restored. */

import { removePermanently, restore } from "../changes.js";
import { fill, h } from "../dom.js";
import { count, keyHref, mask, time } from "../format.js";
import { pages } from "../paging.js";
import { button, dataTable, errorNotice, region } from "../ui.js";

/**
 * @param {import("../main.js").App} app
 * @param {import("../main.js").Route} route
 */
export function deletedKeys(app, { signal }) {
  let list;
  const content = region(
    signal,
    "Loading the deleted keys …",
    () => {
      list = pages((cursor) => app.api.list({ deleted: "true", limit: 50, ...(cursor && { cursor }) }, signal));
      return list.load();
    },
    () => table(app, list, () => content.reload()),
  );
  return {
    title: "Deleted keys",
    reload: () => content.reload(),
    element: h(
      "div",
      { class: "view" },
      h("h1", { tabindex: "-1" }, "Deleted keys"),
      h("p", { class: "muted" }, "Consumers do not get these keys. Each can be restored until its time is over; then its secret values are gone."),
      content,
    ),
  };
}

function table(app, list, reload) {
  if (list.items.length === 0 && !list.more) return h("p", { class: "empty" }, "There is no deleted key that can be restored.");
  const { element, body, row } = dataTable("Deleted keys", ["Name", "Secret value", "Deleted", "Time to restore", "Actions"]);
  const error = h("div");
  const status = h("p", { class: "muted", role: "status" });
  const more = button("Load more", async () => {
    fill(error);
    try {
      await list.load();
      refresh();
    } catch (failure) {
      fill(error, errorNotice(failure, reload));
    }
  });
  const refresh = () => {
    fill(body, list.items.map((key) => row(cells(app, key, reload))));
    status.textContent = `${count(list.items.length, "deleted key")}${list.more ? " loaded" : ""}.`;
    more.hidden = !list.more;
  };
  refresh();
  return h("div", { class: "stack" }, element, error, h("div", { class: "more" }, more, status));
}

function cells(app, key, reload) {
  const actions = [
    button("Restore", () => restore(app, key), { symbol: "undo", name: `Restore ${key.name}` }),
    button("Delete permanently", async () => (await removePermanently(app, key)) && reload(), { kind: "danger", name: `Delete permanently ${key.name}` }),
  ];
  return [
    [h("a", { href: keyHref(key) }, key.name), h("span", { class: "small muted" }, key.service)],
    mask(key.maskedKey),
    [time(key.deletedAt), h("span", { class: "small muted" }, key.deletedBy)],
    time(key.recoverableUntil, "left"),
    h("div", { class: "actions" }, actions),
  ];
}
