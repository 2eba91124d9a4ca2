"""Reads a page as a browser would, without running anything."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "link", "input", "hr", "path"}


@dataclass
class Element:
    """An element of a page: its name, attributes, children and text."""

    name: str
    attributes: dict[str, str]
    children: list[Element] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.parts).split())

    def all(self, name: str, **wanted: str) -> list[Element]:
        """Every element of a name below this one that has the attributes `wanted`."""
        found = []
        for child in self.children:
            fits = all(child.attributes.get(key) == value for key, value in wanted.items())
            if child.name == name and fits:
                found.append(child)
            found += child.all(name, **wanted)
        return found

    def one(self, name: str, **wanted: str) -> Element:
        (found,) = self.all(name, **wanted)
        return found

    def walk(self) -> list[Element]:
        return [self, *(each for child in self.children for each in child.walk())]


class Page(HTMLParser):
    """A page that was read; fails where elements are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text = text
        self.root = Element("", {})
        self._open = [self.root]
        self.feed(text)
        self.close()
        assert self._open == [self.root], f"<{self._open[-1].name}> is not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice"
        element = Element(tag, {name: value or "" for name, value in attrs})
        self._open[-1].children.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        assert self._open[-1].name == tag, f"<{self._open[-1].name}> is closed by </{tag}>"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.parts.append(data)

    def section(self, name: str) -> Element:
        return self.root.one("section", id=name)

    def rows(self, section: str, caption: str) -> list[list[str]]:
        """The rows of the table whose caption begins so, without its head."""
        tables = [
            table
            for table in self.section(section).all("table")
            if table.all("caption") and table.one("caption").text.startswith(caption)
        ]
        (table,) = tables
        body = table.one("tbody")
        return [[cell.text for cell in row.children] for row in body.children]
