"""Every link leads somewhere, every page is led to, and none is too long."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from tests.docs.pages import DOCS, README, REFERENCE, ROOT, Page, documentation, everything, ids

LONGEST = 310
"""Lines of a page: it is read in one go. What is generated is looked things up in."""

PAGES = everything()


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_every_relative_link_resolves(page: Page) -> None:
    """The file is in the repository, and has the heading that the link names."""
    broken = []
    for link in page.links:
        if link.startswith(("https://", "http://", "mailto:")):
            continue
        target, _, anchor = link.partition("#")
        file = (page.path.parent / target).resolve() if target else page.path
        if not file.exists() or ROOT not in (file, *file.parents):
            broken.append(link)
        elif anchor and anchor not in Page(file).anchors:
            broken.append(f"{link}: no such heading")
    assert broken == []


def test_every_page_is_led_to() -> None:
    """README or docs/README.md links to each page below docs/ and to each page beside what is deployed."""
    fronts = [Page(README), Page(DOCS / "README.md")]
    led_to = {(page.path.parent / link.partition("#")[0]).resolve() for page in fronts for link in page.links}
    led_to |= {
        (page.path.parent / link.partition("#")[0]).resolve()
        for page in documentation()
        if page.path.resolve() in led_to
        for link in page.links
        if "deploy/" in link
    }
    lost = {page.name for page in PAGES if page.path.resolve() not in led_to}
    assert lost - {"README.md", "docs/README.md"} == set()


def test_no_page_is_too_long() -> None:
    """Each page that is not generated has at most some 300 lines."""
    long = {page.name: len(page.text.splitlines()) for page in PAGES if page.path.parent != REFERENCE}
    assert {name: lines for name, lines in long.items() if lines > LONGEST} == {}


def test_pictures_take_nothing_from_elsewhere() -> None:
    """A picture is well-formed, has a title, reads in light and in dark, and loads nothing."""
    pictures = sorted(DOCS.glob("*.svg"))
    assert pictures
    for picture in pictures:
        root = ET.parse(picture).getroot()
        text = picture.read_text(encoding="utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert root.find("{http://www.w3.org/2000/svg}title") is not None
        assert "prefers-color-scheme: dark" in text
        assert not any(word in text for word in ("http://", "https://", "<script", "@import", "href="))
