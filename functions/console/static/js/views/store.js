import { h } from "../dom.js";
export function storeKey() {
  return { title: "Store", element: h("div", {}, h("h1", { tabindex: "-1" }, "Soon")) };
}
export const replaceKey = storeKey;
