import { h } from "../dom.js";
export function keys() {
  return { title: "Keys", element: h("div", {}, h("h1", { tabindex: "-1" }, "Soon")) };
}
