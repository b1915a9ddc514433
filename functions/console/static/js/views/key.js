import { h } from "../dom.js";
export function keyPage() {
  return { title: "Keys", element: h("div", {}, h("h1", { tabindex: "-1" }, "Soon")) };
}
