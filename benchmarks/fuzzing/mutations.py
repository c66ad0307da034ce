"""Damage to files: bytes, lines, fields, values of JSON, names; every choice comes from one seeded generator."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

__all__ = ["Files", "mutate"]

#: The files of a case: name within its folder -> content.
Files = dict[str, bytes]

_LARGEST = 1 << 18  # bytes that a file may grow to; a case takes milliseconds
_DEEP = 20_000

# What files of strangers hold: marks, line ends, half characters, numbers that are none, JSON in the wrong place.
_PIECES = (
    b"\xef\xbb\xbf", b"\0", b"\r", b"\r\n", b"\n", b"\n\n", b"\t", b"  ", b"\xe2\x80\xa8", b"\xc2\x85", b"\xc2\xa0",
    b"\xff\xfe", b"\xed\xa0\x80", b"\xf0\x9f", "👩‍🔬".encode(), b"e\xcc\x81", "\u200b".encode(), "\u202e".encode(),
    "頭".encode(), b"\\ud800", b"-1", b"0", b"1e999", b"99999999999999999999", b"NaN", b"null", b"true", b"{}", b"[]",
    b"{", b"]", b'"', b"'", b",", b";", b"|", b"#", b"# a comment\n", b":", b"=", b"O", b"B-", b"I-X", b"B-X|I-Y",
    b"E-X", b"-DOCSTART-", b"#begin document (a); part 000\n", b"#end document\n", b"(", b"*)", b"T1\tX 0 1\ta\n",
    b"${x}", b"<a>", b"&amp;", b"%s", b"../up", b"a" * 3000, b"(" * 3000, b"word " * 400, b"0,0 X", b"0,1,1 X",
    b"2,1 X", b"!!python/object:os.system x", b"&a [*a]", b"? ", b"- ", b"1:30", b"no", b"2024-01-01", b"__MACOSX",
)  # fmt: skip

_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 1.5, 1e308, float("nan"), float("inf"), 10**25, "", " ", "a", "\ud800", "👩‍🔬",
    "\u200b", "None", "1", "B-X", [], {}, [[]], [None], [0, 1], [0, 1, "X"], ["a", "b"], {"a": 1}, "x" * 2000,
    [1] * 300, {"start": 0, "end": 1, "label": "X"}, {"text": "a"}, [{"text": "a", "id": 0}],
)  # fmt: skip


def mutate(files: Files, others: Sequence[Files], choose: Random) -> Files:
    """A damaged copy of the files of a case; once in a while, an undamaged one.

    Args:
        files: of a valid sample.
        others: samples of all kinds, to take parts from.
        choose: makes every choice.
    """
    files = dict(files)
    for _ in range(choose.choice((0, 1, 1, 1, 2, 2, 3, 5))):
        if not files or choose.random() < 0.06:
            files = _other_files(files, others, choose)
            continue
        name = choose.choice(sorted(files))
        ways = _JSON_WAYS if choose.random() < 0.5 and files[name].lstrip()[:1] in (b"{", b"[") else _WAYS
        size = max(len(files[name]), _LARGEST)
        files[name] = choose.choice(ways)(files[name], others, choose)[:size]
    return files


def _other_files(files: Files, others: Sequence[Files], choose: Random) -> Files:
    """Another set of files: one is missing, renamed, empty, or comes from elsewhere."""
    foreign = choose.choice(others)
    if not files or not foreign:
        return dict(foreign)
    name, way = choose.choice(sorted(files)), choose.randrange(5)
    content = files[name]
    if way == 0:
        return {key: value for key, value in files.items() if key != name}
    if way == 1:
        taken = choose.choice(sorted(foreign))
        return files | {taken: foreign[taken]}
    if way == 2:
        return files | {name: b""}
    if way == 3:
        return files | {choose.choice(("._" + name, name + ".bak", "copy of " + name, name.upper())): content}
    return files | {name: choose.choice(list(foreign.values()))}


def _span(content: bytes, choose: Random) -> tuple[int, int]:
    start = choose.randint(0, len(content))
    return start, min(len(content), start + choose.choice((1, 1, 2, 4, 16, 64, 1024)))


def _cut(content: bytes, _: Sequence[Files], choose: Random) -> bytes:
    return content[: choose.randint(0, len(content))]


def _drop(content: bytes, _: Sequence[Files], choose: Random) -> bytes:
    start, end = _span(content, choose)
    return content[:start] + content[end:]


def _flip(content: bytes, _: Sequence[Files], choose: Random) -> bytes:
    if not content:
        return content
    at = choose.randrange(len(content))
    return content[:at] + bytes([content[at] ^ (1 << choose.randrange(8))]) + content[at + 1 :]


def _insert(content: bytes, _: Sequence[Files], choose: Random) -> bytes:
    start, end = _span(content, choose)
    end = start if choose.random() < 0.6 else end
    return content[:start] + choose.choice(_PIECES) + content[end:]


def _repeat(content: bytes, _: Sequence[Files], choose: Random) -> bytes:
    start, end = _span(content, choose)
    return content[:end] + content[start:end] * choose.choice((1, 2, 50, 500)) + content[end:]


def _splice(content: bytes, others: Sequence[Files], choose: Random) -> bytes:
    foreign = choose.choice([value for files in others for value in files.values()])
    return content[: choose.randint(0, len(content))] + foreign[choose.randint(0, len(foreign)) :]


def _lines(content: bytes, _: Sequence[Files], choose: Random) -> bytes:
    """Lines dropped, repeated, swapped, joined, made empty or marked as a comment."""
    lines = content.split(b"\n")
    at, to = choose.randrange(len(lines)), choose.randrange(len(lines))
    way = choose.randrange(6)
    if way == 0:
        del lines[at]
    elif way == 1:
        lines.insert(to, lines[at])
    elif way == 2:
        lines[at], lines[to] = lines[to], lines[at]
    elif way == 3:
        lines[at : at + 2] = [b"".join(lines[at : at + 2])]
    elif way == 4:
        lines[at] = choose.choice((b"", b" ", b"\t"))
    else:
        lines[at] = choose.choice((b"# ", b"\xef\xbb\xbf", b"//", b"%")) + lines[at]
    return b"\n".join(lines)


def _fields(content: bytes, _: Sequence[Files], choose: Random) -> bytes:
    """The fields of a line dropped, repeated, swapped or replaced; or another delimiter everywhere."""
    if choose.random() < 0.1:
        return content.replace(choose.choice((b" ", b"\t", b",")), choose.choice((b"\t", b",", b";", b"|", b"", b"\n")))
    lines = content.split(b"\n")
    at = choose.randrange(len(lines))
    delimiter = next((one for one in (b"\t", b",", b" ") if one in lines[at]), b" ")
    fields = lines[at].split(delimiter)
    place, way = choose.randrange(len(fields)), choose.randrange(4)
    if way == 0:
        del fields[place]
    elif way == 1:
        fields.insert(place, choose.choice(fields))
    elif way == 2:
        choose.shuffle(fields)
    else:
        fields[place] = choose.choice(_PIECES)
    lines[at] = delimiter.join(fields)
    return b"\n".join(lines)


def _encoding(content: bytes, _: Sequence[Files], choose: Random) -> bytes:
    """Another encoding or other line ends, of the whole file."""
    way = choose.randrange(6)
    if way == 0:
        return content.replace(b"\n", b"\r\n")
    if way == 1:
        return content.replace(b"\n", b"\r")
    if way == 2:
        return b"\xef\xbb\xbf" + content
    name = choose.choice(("utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "utf-7"))
    return content.decode("utf-8", "replace").encode(name, "replace")


def _deep(content: bytes, _: Sequence[Files], choose: Random) -> bytes:
    start, end = _span(content, choose)
    return content[:start] + choose.choice((b"[", b'{"a":', b"(", b"- ")) * _DEEP + content[end:]


def _json_value(content: bytes, others: Sequence[Files], choose: Random) -> bytes:
    """A value of a JSON file, or of a line of JSON, replaced, dropped, renamed, doubled, or moved."""
    lines = content.split(b"\n")
    at = choose.randrange(len(lines))
    for text, before, after in ((content, [], []), (lines[at], lines[:at], lines[at + 1 :])):
        try:
            tree = json.loads(text)
        except (ValueError, RecursionError):
            continue
        changed = _changed(tree, choose)
        indent = choose.choice((None, None, None, 1))
        dumped = json.dumps(changed, ensure_ascii=choose.random() < 0.5, indent=indent).encode("utf-8", "surrogatepass")
        return b"\n".join([*before, dumped, *after])
    return _insert(content, others, choose)


def _changed(tree: Any, choose: Random) -> Any:
    """A tree with one change at a random place."""
    if not tree or not isinstance(tree, dict | list) or choose.random() < 0.15:
        return choose.choice((choose.choice(_VALUES), [tree], {"value": tree}, str(tree)[:500]))
    key = choose.choice(sorted(tree)) if isinstance(tree, dict) else choose.randrange(len(tree))
    way = choose.random()
    if way < 0.6:
        tree[key] = _changed(tree[key], choose)
    elif way < 0.75:
        del tree[key]
    elif isinstance(tree, dict):
        other = choose.choice([*tree, "extra", "id", "text", "labels", ""])
        tree[other] = tree[key] if way < 0.85 else tree.pop(key)
    elif way < 0.9:
        tree.insert(choose.randrange(len(tree) + 1), tree[key])
    else:
        choose.shuffle(tree)
    return tree


_Way = Callable[[bytes, Sequence[Files], Random], bytes]
_WAYS: tuple[_Way, ...] = (
    _cut, _drop, _drop, _flip, _flip, _insert, _insert, _insert, _insert, _repeat, _splice, _lines, _lines, _lines,
    _fields, _fields, _fields, _encoding, _deep,
)  # fmt: skip
_JSON_WAYS: tuple[_Way, ...] = (_json_value,)
