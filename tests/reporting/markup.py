"""What HTML says, for tests of it."""

import html
import re
from xml.etree import ElementTree


def parsed(fragment):
    """A fragment as an element; it must be well-formed."""
    return ElementTree.fromstring(fragment.replace("<br>", "<br/>"))


def html_cells(fragment):
    """By place, the element of each cell of a table."""
    root = parsed(fragment)
    columns = ["".join(th.itertext()) for th in root.findall("thead/tr/th")]
    width = len(root.find("tbody/tr[td]").findall("td"))
    return {
        (row.find("th").text, column): td
        for row in root.findall("tbody/tr[td]")
        for column, td in zip(columns[-width:], row.findall("td"), strict=True)
    }


def text(element):
    """All text of an element, with single spaces."""
    return " ".join("".join(element.itertext()).split())


def text_of(page):
    """What a reader of a page sees, with single spaces."""
    page = re.sub(r"(?s)<(style|script)>.*?</\1>", "", page)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())
