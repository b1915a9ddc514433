/** The deleted keys that can be restored. */

import {remove, restore} from "../changes.js"
import {h} from "../dom.js"
import {count, keyHref, mask, time} from "../format.js"
import {button, dataTable, paged} from "../ui.js"

const COLUMNS = ["Name", "Secret value", "Deleted", "Time to restore", "Actions"]

export function deletedKeys(app, {signal}) {
	const fetchPage = cursor => app.api.list({deleted: "true", limit: 50, ...cursor}, signal)
	const content = paged(signal, "Loading the deleted keys …", fetchPage, (items, more) => {
		if (items.length === 0) return h("p.empty", "There is no deleted key that can be restored.")
		const rows = items.map(key => cells(app, key, content.reload))
		const status = `${count(items.length, "deleted key")}${more ? " loaded" : ""}.`
		return [dataTable("Deleted keys", COLUMNS, rows), h("p.muted", {role: "status"}, status)]
	})
	const text = "Consumers do not get these keys. Each can be restored until its time is over."
	return {title: "Deleted keys", reload: content.reload, element: h("div.view", h("h1", "Deleted keys"), h("p.muted", text), content)}
}

function cells(app, key, reload) {
	const destroy = () => remove(app, key).then(done => done && reload())
	return [
		[h("a", {href: keyHref(key)}, h("b", key.name)), h("span.small.muted", key.service)],
		mask(key.maskedKey),
		[time(key.deletedAt), h("span.small.muted", key.deletedBy)],
		time(key.recoverableUntil, "left"),
		h(
			"div.actions",
			button("Restore", () => restore(app, key), "undo", "", `Restore ${key.name}`),
			button("Delete permanently", destroy, "", "danger", `Delete permanently ${key.name}`)
		)
	]
}
