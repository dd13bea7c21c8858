"""Accessibility violations of a page, found by axe-core."""

from collections.abc import Sequence
from typing import Any

from playwright.sync_api import Page

from tests.support.process import ROOT

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
WCAG = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
RULES = (*WCAG, "best-practice")


def violations(page: Page, rules: Sequence[str] = RULES, *, within: str | None = None) -> list[str]:
    """Return each violation with its node, on the whole page or `within` a selector."""
    assert AXE.exists(), "`make lint` installs axe-core"
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text("utf-8"))
    found: list[dict[str, Any]] = page.evaluate(
        "async ([within, rules]) =>"
        " (await axe.run(within ?? document, { runOnly: rules })).violations",
        [within, list(rules)],
    )
    return [
        f"{one['id']}: {node['html']} {node['failureSummary']}"
        for one in found
        for node in one["nodes"]
    ]
