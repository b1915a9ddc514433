/** Lists that the API returns in pages. */

import { isObject } from "./dom.js";

/**
 * Collect the pages of a list.
 * @param {(cursor: string|null) => Promise<{data: unknown[], pagination?: {nextCursor: string|null}}>} fetchPage
 */
export function pages(fetchPage) {
  let next = null;
  return {
    /** @type {object[]} The entries so far. */
    items: [],
    /** @type {boolean} True if there may be more. */
    more: true,
    /** Fetch the next page. */
    async load() {
      const answer = await fetchPage(next);
      this.items.push(...answer.data.filter(isObject));
      next = typeof answer.pagination?.nextCursor === "string" ? answer.pagination.nextCursor : null;
      this.more = next !== null;
    },
  };
}
