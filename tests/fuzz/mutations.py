"""Foreign bytes: something valid, damaged a little. Random bytes alone hardly get past the first check of a reader.

Three layers, each usable by itself: JSON values that are changed in one place or some, their text with what no encoder
would write (duplicate names, `1e999`, lone surrogates, a hundred thousand brackets), and bytes.
"""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Path = tuple[str | int, ...]

DEEP = 100_000

RAW = {
    "deep list": "[" * DEEP + "]" * DEEP,
    "deep object": '{"a":' * DEEP + "1" + "}" * DEEP,
    "unclosed": "[" * DEEP,
    "as deep as parsers go": "[" * 950 + "]" * 950,
    "many digits": "9" * 5000,
    "400 digits": "9" * 400,
    "minus 400 digits": "-" + "9" * 400,
    "long fraction": "0." + "1" * 5000,
    "overflow": "1e999",
    "underflow": "1e-999",
    "exponent beyond decimals": "1e-9999999999999999999",
    "minus zero": "-0",
    "NaN": "NaN",
    "infinity": "-Infinity",
    "duplicate names": '{"a":1,"a":2}',
    "half a pair": '"\\ud83d"',
    "the other half": '"\\udc00 and more"',
    "escaped NUL": '"\\u0000"',
    "bare NUL": '"\x00"',
    "octal": "0777",
    "comment": "/* */ 1",
    "unclosed text": '"abc',
    "nothing": "",
}
"""JSON texts that stand where a value should."""

_MARK = "raw json: "

HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, -(2**63), 2**63, 10**18, 10**400, -(10**400), 0.0, -0.0, 0.5, 1e308, -1e308,
    float("inf"), float("-inf"), float("nan"), "", " ", "0", "1", "-1", "1e999", "nan", "NaN", "inf", "true", "null",
    "\x00", "\ufeff", "\ud800", "a\x00b", "\u2028", "\u202e", "é", "💥", "../../etc/passwd", "${HOME}", "%s%n", "{0}",
    "'", '"', "\\", "\r\n", "a" * 70_000, "9" * 400, "9" * 5000, "open", "settled", "rejected", "tokens", "reply",
    "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999999-23:59", "2026-02-30T00:00:00Z",
    "2026-01-01T00:00:00", "2026-01-01", 9e12, 253402300800, -62135596801, [], {}, [[]], [None], {"": None}, [{}] * 70,
    {"a": {"b": {"c": []}}},
)  # fmt: skip
"""Values that readers forget."""

PIECES = (
    b"\x00", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x1b[31m",
    b"\r\n", b"\r\n\r\n", b"\n", b"\t", b" ", b'"', b"'", b"{", b"}", b"[", b"]", b":", b",", b"\\", b"\\u", b"\\ud800",
    b"${", b"&a ", b"*a", b"!!int ", b"!!bool ", b"!!timestamp ", b"<<: ", b"? ", b"- ", b"---\n", b"...", b"|\n", b"#",
    b"null", b"1e999", b"-1", b"NaN", b"9" * 400, b"[" * 2000, b'{"a":' * 400, b"%", b"%%30", b"=", b"&", b";",
    b"A" * 5000,
)  # fmt: skip
"""Bytes to insert: ends, escapes, byte order marks, broken UTF-8, YAML's signs, terminal escapes."""


# ------------------------------------------------------------------------------------------------------- values


def paths_of(value: Any, at: Path = ()) -> Iterator[Path]:
    """Yield the path of every value inside, the whole included."""
    yield at
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inside:
        yield from paths_of(one, (*at, key))


def found(value: Any, path: Path) -> Any:
    """Return what stands at a path."""
    for part in path:
        value = value[part]
    return value


def replaced(value: Any, path: Path, new: Any) -> Any:
    """Return the value with something else at the path; the value itself may be changed."""
    if not path:
        return new
    found(value, path[:-1])[path[-1]] = new
    return value


def _renamed(name: str, other: str) -> tuple[str, ...]:
    return (name[:-1], name.upper(), f"{name} ", f"{name}\x00", f"{name}s", "\ud800", "", other)


@st.composite
def mutated_json(
    draw: st.DrawFn, valid: Sequence[Any], *, hostile: Sequence[Any] = HOSTILE, most: int = 3, whole: bool = False
) -> Any:
    """Return one of the valid values with one to `most` changes somewhere inside.

    Args:
        hostile: What is put in the place of a value.
        whole: The whole may be replaced as well.
    """
    value = copy.deepcopy(draw(st.sampled_from(valid)))
    for _ in range(draw(st.integers(1, most))):
        paths = [path for path in paths_of(value) if path or whole]
        if not paths:
            break
        path = draw(st.sampled_from(paths))
        value = _changed(draw, value, path, hostile, paths)
    return value


def _changed(draw: st.DrawFn, value: Any, path: Path, hostile: Sequence[Any], paths: Sequence[Path]) -> Any:
    old = found(value, path)
    kinds = ["replace", "replace", "type", "another's"]
    kinds += ["drop", "rename"] if path else []
    kinds += ["shorten", "repeat"] if isinstance(old, list | str) and old else []
    match draw(st.sampled_from(kinds)):
        case "replace":
            return replaced(value, path, copy.deepcopy(draw(st.sampled_from(hostile))))
        case "type":
            forms = (str(old), [old], {"a": old}, bool(old), [old, old], repr(old))
            return replaced(value, path, draw(st.sampled_from(forms)))
        case "another's":
            return replaced(value, path, copy.deepcopy(found(value, draw(st.sampled_from(paths)))))
        case "shorten":
            return replaced(value, path, old[draw(st.integers(0, 1)) : draw(st.integers(0, len(old)))])
        case "repeat":
            return replaced(value, path, old * 2)
        case "drop":
            del found(value, path[:-1])[path[-1]]
        case "rename" if isinstance(path[-1], str):
            parent = found(value, path[:-1])
            name = draw(st.sampled_from(_renamed(path[-1], draw(st.sampled_from(sorted(parent))))))
            parent[name] = parent.pop(path[-1])
    return value


# --------------------------------------------------------------------------------------------------------- text


@st.composite
def mutated_json_text(draw: st.DrawFn, valid: Sequence[Any], *, hostile: Sequence[Any] = HOSTILE) -> str:
    """Return the JSON text of a mutated value; in places it is no JSON any more, or strange JSON."""
    marks = [_MARK + name for name in RAW]
    value = draw(mutated_json(valid, hostile=(*hostile, *marks), whole=True))
    text = json.dumps(value)
    for name, raw in RAW.items():
        text = text.replace(json.dumps(_MARK + name), raw)
    if text[:1] == "{" and draw(st.booleans()):  # a name that stands twice, before or after
        name = draw(st.sampled_from(sorted(draw(st.sampled_from(valid)))))
        one = f"{json.dumps(name)}:{json.dumps(draw(st.sampled_from((None, [], {}, '', 1))))}"
        return f"{{{one},{text[1:]}" if draw(st.booleans()) else f"{text[:-1]},{one}}}"
    return text


@st.composite
def mutated_bytes(draw: st.DrawFn, valid: Sequence[bytes], *, most: int = 4) -> bytes:
    """Return valid bytes with up to `most` changes: flipped, cut, repeated, inserted, spliced."""
    data = draw(st.sampled_from(valid))
    for _ in range(draw(st.integers(0, most))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 40)))
        match draw(st.sampled_from(("flip", "cut", "end", "repeat", "insert", "insert", "splice", "many", "noise"))):
            case "flip" if start < len(data):
                data = data[:start] + bytes([data[start] ^ (1 << draw(st.integers(0, 7)))]) + data[start + 1 :]
            case "cut":
                data = data[:start] + data[end:]
            case "end":
                data = data[:start]
            case "repeat":
                data = data[:end] + data[start:end] + data[end:]
            case "many":
                data = data[:end] + data[start:end] * 50 + data[end:]
            case "insert":
                data = data[:start] + draw(st.sampled_from(PIECES)) + data[start:]
            case "splice":
                other = draw(st.sampled_from(valid))
                data = data[:start] + other[draw(st.integers(0, len(other))) :]
            case "noise":
                data = data[:start] + draw(st.binary(max_size=8)) + data[end:]
    return data


def foreign_json(valid: Sequence[Any]) -> st.SearchStrategy[bytes]:
    """Return bytes that should be the JSON of one of these values: damaged as values, as texts, as bytes, or random."""
    texts = [json.dumps(value).encode() for value in valid]
    return st.one_of(
        mutated_json_text(valid).map(lambda text: text.encode("utf-8", "surrogatepass")),
        mutated_json_text(valid).map(lambda text: text.encode("utf-8", "surrogatepass")),
        mutated_bytes(texts),
        st.binary(max_size=300),
        st.sampled_from(texts).map(lambda text: text.decode().encode("utf-16")),
        st.sampled_from(texts).map(lambda text: b"\xef\xbb\xbf" + text),
    )
