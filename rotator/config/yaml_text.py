"""YAML as configuration needs it: a safe subset, duplicate keys refused, line numbers kept, `${VAR}` filled in.

Nothing found in the text is quoted in a message but keys, tags left out: any scalar may be a misplaced secret.
"""

from __future__ import annotations

import functools
import re
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import yaml
import yaml.composer

from rotator.config.findings import Finding, Path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml where the wheel has it: ten times as fast on a thousand credentials."""

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)(\}?)")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_QUOTED = re.compile(r"'[^']{2,}'|\"[^\"]{2,}\"")
_PLAIN_TAGS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str", "timestamp"))
_TEXT_TAG = "tag:yaml.org,2002:str"
_MERGE_TAG = "tag:yaml.org,2002:merge"

DEEPEST = 50
"""Levels. A configuration has seven; libyaml's composer overflows the stack of the process at some ten thousand."""

MOST_BY_ALIASES = 10_000
"""Values. A text holds fewer values than characters, so that only aliases of aliases lead to more than both."""

_TOO_DEEP = f"has more than {DEEPEST} levels"

LONGEST_SCALAR = 100
"""Characters of what is no text. PyYAML reads `1:1:1:…` as a number to the base of sixty, in quadratic time."""

_UNREADABLE = (ValueError, LookupError, AttributeError, ArithmeticError, yaml.YAMLError)
"""How PyYAML fails on a tag or form that does not fit: `!!int x`, `!!int ''`, `!!bool x`, the 13th month."""


class _UnboundedError(Exception):
    """The text cannot be taken in: too deep, or too many values by its aliases."""


class YamlText:
    """A parsed YAML text.

    Args:
        text: The YAML.
        env: Where `${VAR}` is looked up. `$${` stands for the two characters `${`.

    Attributes:
        content: Plain Python values; None for an empty text.
        lines: The line of every key and list item.
        findings: What is wrong with the text. At such a path `content` holds an empty text.
    """

    def __init__(self, text: str, env: Mapping[str, str]) -> None:
        self.lines: dict[Path, int] = {}
        self.findings: list[Finding] = []
        self.content: Any = None
        self._env = env
        self._open: set[int] = set()
        self._latest: dict[str | int, str] = {}
        self._values_left = max(MOST_BY_ALIASES, len(text))
        try:
            self._loader = _shallow(_LOADER)(text)
            self.content = self._document()
        except _UnboundedError as error:
            self.findings = [Finding((), str(error), "write it out, and flatter: nothing in it has that form")]
        except yaml.MarkedYAMLError as error:
            self._not_yaml(error)
        except (yaml.YAMLError, UnicodeError):  # control characters, say
            self.findings.append(Finding((), "is not YAML: it holds characters that YAML does not allow"))

    def _not_yaml(self, error: yaml.MarkedYAMLError) -> None:
        """Tell line and column; the parser's own words may quote the text, so what they quote is cut out."""
        what = _QUOTED.sub("'…'", error.problem or "it cannot be parsed")
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        self.lines[()] = line
        place = f" (line {line}, column {column})"
        hint = "check indentation and quotes; a text that begins with one of * & ! % @ ` needs quotes"
        self.findings.append(Finding((), f"is not YAML: {what}{place}", hint))

    # ------------------------------------------------------------------------------------------------- the text

    def _document(self) -> Any:
        loader = self._loader
        loader.get_event()
        if loader.check_event(yaml.StreamEndEvent):
            return None
        begin = loader.get_event()
        if loader.check_event(yaml.MappingStartEvent) and loader.peek_event().anchor is None:
            self._count(())
            content: Any = self._mapping(self._pairs(), ())
        else:
            content = self._value(loader.compose_node(None, None), ())
        loader.get_event()
        if not loader.check_event(yaml.StreamEndEvent):
            where = loader.get_event().start_mark
            what = "expected a single document in the stream", begin.start_mark, "but found another document", where
            raise yaml.composer.ComposerError(*what)
        return content

    def _pairs(self) -> Iterator[tuple[yaml.Node, Callable[[Path], Any]]]:
        """Go through the outermost mapping; whether a value is read or not, the next pair follows it."""
        loader = self._loader
        loader.get_event()
        while not loader.check_event(yaml.MappingEndEvent):
            key = loader.compose_node(None, None)
            unread: list[Callable[[Path], Any]] = [self._outer]
            yield key, partial(_read_once, unread)
            if unread:
                loader.compose_node(None, None)
        loader.get_event()

    def _outer(self, path: Path) -> Any:
        """Read a value of the outermost mapping, a list item by item.

        A tree of nodes takes fifty times the room of its text; only one item's is there at a time.
        """
        loader = self._loader
        if not loader.check_event(yaml.SequenceStartEvent) or loader.peek_event().anchor is not None:
            return self._value(loader.compose_node(None, None), path)
        self._count(path)
        loader.get_event()
        items: list[Any] = []
        while not loader.check_event(yaml.SequenceEndEvent):
            items.append(self._item(loader.compose_node(None, None), (*path, len(items))))
            loader.constructed_objects.clear()  # it would remember every node with its value
        loader.get_event()
        return items

    # ------------------------------------------------------------------------------------------------- its nodes

    def _count(self, path: Path) -> None:
        self._values_left -= 1
        if self._values_left < 0:
            raise _UnboundedError("leads by its aliases to more values than it has characters")
        if len(path) > DEEPEST:
            raise _UnboundedError(_TOO_DEEP)

    def _value(self, node: yaml.Node, path: Path) -> Any:
        self._count(path)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if id(node) in self._open:
            return self._wrong(path, "refers to itself", "write the value out")
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                pairs = ((key, partial(self._value, value)) for key, value in node.value)
                return self._mapping(pairs, path)
            return [self._item(item, (*path, index)) for index, item in enumerate(node.value)]
        finally:
            self._open.discard(id(node))

    def _item(self, node: yaml.Node, path: Path) -> Any:
        self.lines[path] = node.start_mark.line + 1
        return self._value(node, path)

    def _mapping(self, pairs: Iterable[tuple[yaml.Node, Callable[[Path], Any]]], path: Path) -> dict[str, Any]:
        """Return a mapping, given as its keys' nodes and what returns each value for its path."""
        result: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_at in pairs:
            line = key_node.start_mark.line + 1
            if key_node.tag == _MERGE_TAG:
                merged = {**self._merged(value_at((*path, "<<")), path), **merged}
                continue
            key = self._key(key_node)
            if key is None:
                self.lines.setdefault((*path, "?"), line)
                self._wrong((*path, "?"), "a key must be text", "put the key in quotes")
                continue
            at = (*path, key)
            if key in result:
                self.lines[at] = line
                self._wrong(at, "appears twice", "keep one of the two")
                continue
            self.lines[at] = line
            result[key] = value_at(at)
        return {**merged, **result}

    def _key(self, node: yaml.Node) -> str | None:
        if not _is_plain(node):
            return None
        try:
            key = self._constructed(node)
        except _UNREADABLE:  # the message would quote it
            return None
        return sys.intern(key) if isinstance(key, str) else None  # every credential has the same keys

    def _constructed(self, node: yaml.Node) -> Any:
        if len(node.value) > LONGEST_SCALAR and node.tag != _TEXT_TAG:
            raise ValueError("too long for anything but a text")
        return self._loader.construct_object(node)

    def _merged(self, value: Any, path: Path) -> dict[str, Any]:
        """Return what `<<` brings in: one mapping, or several of which the first wins."""
        mappings = value if isinstance(value, list) else [value]
        if not all(isinstance(mapping, dict) for mapping in mappings):
            self._wrong((*path, "<<"), "must refer to a mapping")
            return {}
        return {key: mapping[key] for mapping in reversed(mappings) for key in mapping}

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        if not _is_plain(node):
            return self._wrong(path, "has a tag that is not known", "put a text that begins with ! in quotes")
        try:
            value = self._constructed(node)
        except _UNREADABLE:  # the message would quote it
            return self._wrong(path, "cannot be read as what YAML takes it for", "put it in quotes")
        if not isinstance(value, str):
            return value
        text, key = self._filled_in(value, path), path[-1] if path else ""
        if (known := self._latest.get(key)) == text:
            return known  # what stood at this key before stands there in most credentials: one text for all
        self._latest[key] = text
        return text

    def _filled_in(self, text: str, path: Path) -> str:
        def replacement(found: re.Match[str]) -> str:
            if found[0] == "$${":
                return "${"
            name = found[1]
            if not (found[2] and _VARIABLE.fullmatch(name)):
                return str(self._wrong(path, "`${` begins a reference like ${NAME}", "write `$${` for a plain `${`"))
            if name not in self._env:
                return str(self._wrong(path, f"the environment variable {name} is not set", f"set {name}"))
            return self._env[name]

        return _REFERENCE.sub(replacement, text)

    def _wrong(self, path: Path, what: str, hint: str = "") -> str:
        self.findings.append(Finding(path, what, hint))
        return ""


def _read_once(unread: list[Callable[[Path], Any]], path: Path) -> Any:
    return unread.pop()(path)


class _ShallowComposer(yaml.composer.Composer):
    """PyYAML's composer, stopped at the first level too many: libyaml's own recurses in C, and takes no word."""

    _level = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._level += 1
        if self._level > DEEPEST:
            raise _UnboundedError(_TOO_DEEP)
        node = super().compose_node(parent, index)
        self._level -= 1
        return node


@functools.cache
def _shallow(loader: Any) -> Any:
    """Return a loader whose composer is ours, with the events and values of the one given."""

    class Shallow(_ShallowComposer, loader):  # type: ignore[misc]  # a base that is chosen at run time
        def __init__(self, text: str) -> None:
            loader.__init__(self, text)
            _ShallowComposer.__init__(self)

    return Shallow


def _is_plain(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag in _PLAIN_TAGS
