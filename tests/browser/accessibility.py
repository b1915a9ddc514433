"""Checks of a rendered page: axe-core, and scrolling sideways."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from axe_playwright_python.sync_playwright import Axe

if TYPE_CHECKING:
    from playwright.sync_api import Page

_AXE: Final = Axe()
_RULES: Final = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
_WIDER_THAN_THE_PAGE: Final = """() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  return [...document.querySelectorAll("body *")]
    .filter((node) => node.getBoundingClientRect().right > width + 1)
    .map((node) => `${node.tagName}.${node.className} ends at ${node.getBoundingClientRect().right} of ${width}`);
}"""


def violations(page: Page) -> list[str]:
    """Return axe's violations as rule, element and message.

    axe runs in the page's own world, under its content security policy.
    """
    found: list[dict[str, Any]] = _AXE.run(page, options={**_RULES, "resultTypes": ["violations"]}).response[
        "violations"
    ]
    return [f"{each['id']}: {node['target']} {node['failureSummary']}" for each in found for node in each["nodes"]]


def elements_wider_than_the_page(page: Page) -> list[str]:
    """Return the elements that make the page scroll sideways."""
    elements: list[str] = page.evaluate(_WIDER_THAN_THE_PAGE)
    return elements or (["the page"] if page.evaluate("scrollX > 0") else [])
