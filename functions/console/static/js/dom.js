/** Build elements. Values become text nodes and attributes: none is ever parsed as HTML. */

const SVG = "http://www.w3.org/2000/svg"
const ICONS = {
	ok: "M20 6 9 17l-5-5",
	rejected: "M18 6 6 18M6 6l12 12",
	unverified: "M9.2 9a3 3 0 1 1 4.3 2.7c-1 .5-1.5 1.2-1.5 2.3M12 17.8v.2",
	disabled: "M9 6v12M15 6v12",
	none: "M6 12h12",
	warning: "M12 4 2.8 20h18.4zM12 10v4M12 17v.2",
	info: "M12 11v6M12 7v.2M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z",
	plus: "M12 5v14M5 12h14",
	verify: "M12 3l7 3v5c0 5-3 8-7 10-4-2-7-5-7-10V6zM9 12l2 2 4-4",
	replace: "M4 9a8 8 0 0 1 14-3l2 2M20 3v5h-5M20 15a8 8 0 0 1-14 3l-2-2M4 21v-5h5",
	edit: "M4 20h4L19 9l-4-4L4 16zM13 7l4 4",
	undo: "M4 9h10a6 6 0 0 1 0 12H9M4 9l4-4M4 9l4 4",
	trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5"
}

/** Create an element from a selector such as `p.small.muted`, optional properties, and children. */
export function h(selector, ...children) {
	const [tag, ...classes] = selector.split(".")
	const element = document.createElement(tag)
	if (classes.length > 0) element.className = classes.join(" ")
	if (isObject(children[0]) && !(children[0] instanceof Node)) setAll(element, children.shift())
	element.append(...nodes(children))
	return element
}

function setAll(element, properties) {
	for (const [name, value] of Object.entries(properties)) {
		if (name === "value" || name === "checked") element[name] = value
		else if (value === true) element.setAttribute(name, "")
		else if (isShown(value)) element.setAttribute(name, value)
	}
}

const isShown = value => value !== null && value !== undefined && value !== false

const nodes = children =>
	children
		.flat(Infinity)
		.filter(isShown)
		.map(each => (each instanceof Node ? each : document.createTextNode(String(each))))

export const fill = (element, ...children) => element.replaceChildren(...nodes(children))

/** Create an icon that assistive technology ignores: the text beside it has the meaning. */
export function icon(name) {
	const svg = document.createElementNS(SVG, "svg")
	const path = document.createElementNS(SVG, "path")
	setAll(svg, {viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true"})
	path.setAttribute("d", ICONS[name])
	svg.append(path)
	return svg
}

let counter = 0

export const uniqueId = prefix => `${prefix}-${(counter += 1)}`

export const isObject = value => typeof value === "object" && value !== null && !Array.isArray(value)
