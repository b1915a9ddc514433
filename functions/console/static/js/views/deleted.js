import { h } from "../dom.js";
export function deletedKeys() {
  return { title: "Keys", element: h("div", {}, h("h1", { tabindex: "-1" }, "Soon")) };
}
