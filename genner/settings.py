"""Frozen dataclasses filled from text: dotted keys, typed values, every problem collected with the nearest right key.

Text stays text until the type of its key is known: ``NO``, ``on`` and ``1e3`` are words where words are expected.
"""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, ClassVar, Self, Union, get_args, get_origin, get_type_hints

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

__all__ = ["FormulationSettings", "Values", "build", "flatten", "leaves", "parse_value", "parse_yaml"]

_NOTHING = ("null", "~", "")
_FEW = 3  # keys that share a word
_EXPECTED = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


@dataclass(frozen=True)
class FormulationSettings:
    """The block of a recipe that is named after its formulation; every formulation has its own fields."""

    #: Keys that do not shape scores: two commands of one run may differ in them.
    FREE: ClassVar[frozenset[str]] = frozenset()

    def problems(self, recipe: Any) -> Iterator[str]:
        """What has the right type but cannot work, as sentences that begin with the key."""
        yield from ()

    def resolved(self, recipe: Any) -> Self:
        """With the values whose default depends on the rest of the recipe."""
        return self

    def describe(self) -> str:
        """What tables and titles call such a target, and ``reported`` keys its published scores by; may be empty."""
        return ""


@dataclass
class Values:
    """Values by dotted key, checked against the fields of dataclasses as they are set.

    Args:
        schemas: prefix (``""`` or a key) -> the dataclass whose fields stand below it.

    Attributes:
        problems: what was wrong, as sentences.
    """

    schemas: Mapping[str, type]
    values: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._hints: dict[str, Any] = {}
        for prefix, schema in self.schemas.items():
            self._hints |= {f"{prefix}.{key}" if prefix else key: hint for key, hint in _hints(schema).items()}

    def set(self, key: str, value: Any, where: str) -> None:
        """Set one key; an unknown key or a value of another type becomes a problem."""
        name, dot, entry = key.partition(".")
        is_entry = bool(dot) and _is_mapping(self._hints.get(name))  # such as labels.PER.NAM, whose tag has a dot
        if not is_entry and key not in self._hints:
            self.problems.append(self._unknown(key, value, where))
            return
        hint = get_args(self._hints[name])[1] if is_entry else self._hints[key]
        if "${" in str(value):
            self.problems.append(
                f"{where}: {key}: {value!r:.80} refers to another value. Expected the value itself. Write it out."
            )
            return
        if not _is_text(value):
            self.problems.append(
                f"{where}: {key}: {value!r} is not UTF-8. Expected text. Set your locale, such as LC_ALL=C.UTF-8."
            )
            return
        try:
            typed = _typed(hint, None if hint is str and value == "null" and not is_entry else value)
        except ValidationError:
            self.problems.append(
                f"{where}: {key}: {value!r:.80} cannot be used. Expected {_expected(hint)}. Change the value."
            )
            return
        if is_entry:
            self.values[name] = {**self.values.get(name, {}), entry: typed}
        else:
            self.values[key] = typed

    def _unknown(self, key: str, value: Any, where: str) -> str:
        parts = key.split(".")
        for depth in range(len(parts)):
            parent = ".".join(parts[:depth])
            siblings = self._children(parent)
            if parts[depth] not in siblings:
                break
        else:  # a group of settings that was given a value of its own
            below = self._children(key)[0]
            expected = f"Expected settings below it, such as {key}.{below}. Set those."
            return f"{where}: {key}: {value!r:.80} cannot be used. {expected}"
        if not siblings:
            return (
                f"{where}: unknown key {key!r:.80}. Expected {parent} alone, which holds no further keys. Set {parent}."
            )
        near = _nearest(key, parent, siblings, self._hints)
        return f"{where}: unknown key {key!r:.80}. Expected one of {', '.join(siblings)}{near}. Rename or remove it."

    def _children(self, parent: str) -> list[str]:
        prefix = f"{parent}." if parent else ""
        return list(dict.fromkeys(key[len(prefix) :].split(".")[0] for key in self._hints if key.startswith(prefix)))


def build(schema: type, values: Mapping[str, Any], prefix: str = "") -> Any:
    """The dataclass from values by dotted key; what is not among them keeps its default."""
    given: dict[str, Any] = {}
    for name, hint in _fields(schema).items():
        key = f"{prefix}{name}"
        if is_dataclass(hint):
            given[name] = build(hint, values, f"{key}.")
        elif key in values:
            given[name] = values[key]
    return schema(**given)


def flatten(settings: Any, prefix: str = "") -> dict[str, Any]:
    """The plain values of a dataclass by dotted key; :class:`enum.Enum` members by their value."""
    flat: dict[str, Any] = {}
    for one in fields(settings):
        value = getattr(settings, one.name)
        if is_dataclass(value):
            flat |= flatten(value, f"{prefix}{one.name}.")
        else:
            flat[f"{prefix}{one.name}"] = value.value if isinstance(value, Enum) else value
    return flat


def leaves(tree: Mapping[str, Any], whole: Iterable[str] = (), prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of nested mappings; those under a key in ``whole`` stay mappings."""
    for key, value in tree.items():
        dotted = f"{prefix}{key}"
        if isinstance(value, Mapping) and value and dotted not in whole:
            yield from leaves(value, whole, f"{dotted}.")
        else:
            yield dotted, value


def parse_yaml(text: str) -> Any:
    """YAML whose scalars are all text, so that none is taken for another type.

    Raises:
        yaml.YAMLError: no YAML, nested too deeply, or a key that stands twice.
    """
    try:
        return yaml.load(text, Loader=_TextLoader)
    except RecursionError:
        raise yaml.YAMLError("nested too deeply") from None


def yaml_problem(error: Exception) -> str:
    """What is wrong with a text that is no YAML, and in which line, without line ends."""
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}: " if mark is not None else ""
    return where + " ".join(str(getattr(error, "problem", None) or error).split())[:200]


def parse_value(text: str) -> Any:
    """The value of ``key=value``: a list or mapping in brackets, else the text as it stands, without quotes around it.

    Raises:
        yaml.YAMLError: unbalanced brackets.
    """
    is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return parse_yaml(text) if is_quoted or text.startswith(("[", "{")) else text


class _TextLoader(yaml.BaseLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if repeated := sorted({str(key) for key in keys if keys.count(key) > 1}):
            found = f"found duplicate key {', '.join(repeated)}"
            raise yaml.constructor.ConstructorError(None, None, found, node.start_mark)
        return super().construct_mapping(node, deep)


@cache
def _fields(schema: type) -> dict[str, Any]:
    hints = get_type_hints(schema)
    return {one.name: hints[one.name] for one in fields(schema)}


def _hints(schema: type, prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, hint in _fields(schema).items():
        found |= _hints(hint, f"{prefix}{name}.") if is_dataclass(hint) else {f"{prefix}{name}": hint}
    return found


@cache
def _adapter(hint: Any) -> TypeAdapter:
    return TypeAdapter(hint, config=ConfigDict(allow_inf_nan=False))


def _typed(hint: Any, value: Any) -> Any:
    options = [option for option in get_args(hint) if option is not types.NoneType]
    if get_origin(hint) in (types.UnionType, Union):
        if value is None or (isinstance(value, str) and value in _NOTHING):
            return None
        hint = options[0]
    if hint is Any:
        return _plain(value)
    typed = _adapter(hint).validate_python(value)
    return _plain(typed) if _is_mapping(hint) and options[1] is Any else typed


def _plain(value: Any) -> Any:
    """Numbers as numbers, in a value whose type is open."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    for number in (int, float):
        try:
            return number(value) if isinstance(value, str) else value
        except ValueError:
            continue
    return value


def _is_text(value: Any) -> bool:
    """False for bytes of a shell or a file that are not UTF-8, which Python keeps as surrogates."""
    try:
        str(value).encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_mapping(hint: Any) -> bool:
    return get_origin(hint) is dict


def _expected(hint: Any) -> str:
    options = [option for option in get_args(hint) if option is not types.NoneType]
    if get_origin(hint) in (types.UnionType, Union):
        return f"{_expected(options[0])}, or null"
    if _is_mapping(hint):
        return "a mapping of text to text, such as {loc: location}"
    if get_origin(hint) is list:
        return "a list in brackets, such as [1, 2]"
    if isinstance(hint, type) and issubclass(hint, Enum):
        return f"one of {', '.join(member.value for member in hint)}"
    return _EXPECTED.get(hint, "another value")


def _nearest(key: str, parent: str, siblings: Sequence[str], known: Iterable[str]) -> str:
    """The hint at the key that was probably meant: a sibling, or one of that name elsewhere in the tree."""
    last, known = key.rpartition(".")[2], list(known)
    elsewhere = [name for name in known if name.rpartition(".")[2] == last]
    match = difflib.get_close_matches(key, elsewhere, n=1, cutoff=0) or _by_words(key, known)
    if not match:
        part = key[len(parent) + 1 if parent else 0 :].split(".")[0]
        match = [f"{parent}.{name}" if parent else name for name in _alike(part, siblings)]
    match = match or _by_rarest_word(key, known)
    if not match:
        near = difflib.get_close_matches(last, [name.rpartition(".")[2] for name in known], n=1, cutoff=0.75)
        match = [name for name in known if name.rpartition(".")[2] in near]
    return f" (did you mean '{match[0]}'?)" if match else ""


def _by_words(key: str, known: Iterable[str]) -> list[str]:
    """The key with all the words of ``key``, such as ``batching.size`` for ``batch_size``; the shortest, if several.

    Initials count as their words: ``learning_rate`` is ``lr``.
    """
    wanted = re.split(r"[._]", key.lower())
    initials = "".join(word[:1] for word in wanted)
    found = []
    for name in known:
        words = re.split(r"[._]", name)
        if all(any(_same_word(word, other) for other in words) for word in wanted) or initials == words[-1]:
            found.append((len(words), name))
    return [min(found)[1]] if found else []


def _by_rarest_word(key: str, known: Sequence[str]) -> list[str]:
    """The key that shares the word of ``key`` that fewest keys have, such as ``warmup_ratio`` for ``warmup_steps``."""
    sharing = [
        [name for name in known if any(_same_word(word, other) for other in re.split(r"[._]", name))]
        for word in re.split(r"[._]", key.lower())
    ]
    found = min((names for names in sharing if 0 < len(names) <= _FEW), key=len, default=[])
    return sorted(found, key=len)[:1]


def _same_word(first: str, second: str) -> bool:
    """Equal, or one begins with the other: ``batch`` and ``batching``."""
    shorter, longer = sorted((first, second), key=len)
    return first == second or (len(shorter) > 2 and longer.startswith(shorter))


def _alike(part: str, names: Sequence[str]) -> list[str]:
    match = difflib.get_close_matches(part, names, n=1, cutoff=0.6)
    initials = "".join(word[:1] for word in part.split("_"))
    contained = (name for name in names if (len(name) > 2 and (name in part or part in name)) or name == initials)
    return match or list(contained)[:1]
