"""An input as an object, and as the TOML that the program reads."""
import difflib
import functools
import json
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Set
from pathlib import Path
from typing import Any

import numpy as np

from headflow.errors import InputError
from headflow.program import KnownKey, program, table


def toml_value(value: Any) -> str:
    """A value of Python or numpy as TOML."""
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        return repr(float(value))
    if isinstance(value, (str, os.PathLike)):
        return json.dumps(os.fspath(value), ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{toml_key(key)} = {toml_value(item)}' for key, item in value.items())} }}"
    if hasattr(value, "__array__"):  # of numpy, or what can be one
        return toml_value(np.asarray(value).tolist())
    if isinstance(value, Iterable) and not isinstance(value, (bytes, bytearray, Set)):
        return f"[{', '.join(map(toml_value, value))}]"
    raise InputError(f"a value of an input is a number, a text, true or false, or a list of them; found {value!r}")


def text_name(name: Any) -> str:
    """A section or key. Throws InputError for what is no text."""
    if not isinstance(name, str):
        raise InputError(f"a name of a section or key is a text; found {name!r}")
    return name


def path_text(name: str, value: Any, allowed: str = "a path") -> str:
    """A parameter that names a file. Throws InputError for what is no path."""
    if isinstance(value, (str, os.PathLike)) and isinstance(path := os.fspath(value), str):
        return path
    raise InputError(f"{name} = {value!r}: {allowed} is needed")


def toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", text_name(key)) else json.dumps(key, ensure_ascii=False)


def toml_text(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """An input as text; keys whose value is None are left out."""
    lines = []
    for section, keys in sections.items():
        if not isinstance(keys, Mapping):
            raise InputError(f"{section}: a section with its keys, such as {{'{section}': {{...}}}}; found {keys!r}")
        lines += [f"[{toml_key(section)}]"]
        lines += [f"{toml_key(key)} = {toml_value(value)}" for key, value in keys.items() if value is not None]
        lines += [""]
    return "\n".join(lines)


def unknown(kind: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a name that is not known, with the one that may be meant."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else f"; known: {', '.join(known)}" if len(known) < 25 else ""
    return InputError(f"unknown {kind} '{name}'{hint}")


def require_known(section: str, key: str, value: Any = None) -> None:
    """Throws InputError for a section or key that the program does not have, or a word that the key cannot be."""
    sections, section, key = table(), text_name(section), text_name(key)
    if section not in sections:
        raise unknown("section", section, sections)
    if not key:
        return
    keys = sections[section].keys
    if section == "sweep" and key not in keys:
        name, _, inner = key.partition("[")[0].partition(".")
        if not inner:
            raise unknown("key of [sweep]", key, [f"{one}.{own}" for one in sections for own in sections[one].keys])
        return require_known(name, inner)
    if key not in keys:
        elsewhere = [f"{one}.{key}" for one in sections if key in sections[one].keys]
        error = unknown(f"key of [{section}]", key, keys)
        raise InputError(f"{error} (there is {', '.join(elsewhere)})") if elsewhere else error
    words = keys[key].words
    if isinstance(value, str) and words and value not in words:
        raise unknown(f"value of {section}.{key}", value, words)


class Section(MutableMapping):
    """The keys of one section that are set. As attributes all keys are known, None where the program's default
    holds."""

    _name = ""

    def __init__(self, keys: Mapping[str, Any]) -> None:
        object.__setattr__(self, "_keys", {})
        self.update(keys)

    def __getitem__(self, key: str) -> Any:
        return self._keys[key]

    def __setitem__(self, key: str, value: Any) -> None:
        require_known(self._name, key, value)
        if value is None:
            self._keys.pop(key, None)
        else:
            self._keys[key] = value

    def __delitem__(self, key: str) -> None:
        del self._keys[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __setattr__(self, key: str, value: Any) -> None:
        self[key] = value

    def __getattr__(self, key: str) -> Any:
        if not key.startswith("_"):
            try:
                require_known(self._name, key)
            except InputError as error:
                raise AttributeError(str(error)) from None
        raise AttributeError(key)

    def _ipython_key_completions_(self) -> list[str]:
        return list(table()[self._name].keys)

    def __repr__(self) -> str:
        return toml_text({self._name: self._keys}).rstrip()


def _property(name: str, key: KnownKey) -> property:
    """A key as an attribute, with its help."""
    return property(lambda self: self._keys.get(name), lambda self, value: self.__setitem__(name, value),
                    lambda self: self.__delitem__(name), key.help)


@functools.cache
def _section_class(name: str, of_program: str) -> type[Section]:
    known = table()[name]
    text = "\n".join([f"[{name}]  {known.help}", "", *(f"{key} : {own.help}" for key, own in known.keys.items())])
    attributes = {key: _property(key, own) for key, own in known.keys.items()}
    return type(name.capitalize(), (Section,), attributes | {"_name": name, "__doc__": text})


class Input(MutableMapping):
    """An input of the program, whose sections and keys are completed by Tab and checked when they are set.

    A section is part of the input once it is assigned, be it empty, or one of its keys is: to look at it adds nothing.

    Parameters
    ----------
    source : dict, path or str, optional
        {section: {key: value}}, a TOML file, or its text.
    **sections : dict
        Keys of sections: ``Input(model={"tokens": 4}, attention={"heads": 2})``.

    Examples
    --------
    >>> case = headflow.Input("input/quickstart.toml")
    >>> case.flow.end_time = 500
    >>> case.sweep["start.seed"] = [1, 2, 3]
    >>> print(case)
    """

    def __init__(self, source: Any = None, **sections: Mapping[str, Any]) -> None:
        object.__setattr__(self, "_sections", {})
        object.__setattr__(self, "_given", set())  # as others were but looked at
        for found in (read(source) if source is not None else {}, sections):
            if not isinstance(found, Mapping):
                raise InputError(f"an input is {{section: {{key: value}}}}, a TOML file or its text; found {found!r}")
            for name, keys in found.items():
                self[name] = keys

    def __getitem__(self, name: str) -> Section:
        if name not in self._sections:
            require_known(name, "")
            self._sections[name] = _section_class(name, program())({})
        return self._sections[name]

    def __setitem__(self, name: str, keys: Mapping[str, Any]) -> None:
        require_known(name, "")
        if not isinstance(keys, Mapping):
            raise InputError(f"[{name}] is a section with keys, {{key: value}}; found {keys!r}")
        self._sections[name] = _section_class(name, program())(keys)
        self._given.add(name)

    def __delitem__(self, name: str) -> None:
        del self._sections[name]
        self._given.discard(name)

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, keys in self._sections.items() if keys or name in self._given])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in list(iter(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return Input, (self.to_dict(),)

    def __getattr__(self, name: str) -> Section:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self[name]
        except InputError as error:
            raise AttributeError(str(error)) from None

    def __setattr__(self, name: str, keys: Mapping[str, Any]) -> None:
        self[name] = keys

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._ipython_key_completions_()]

    def _ipython_key_completions_(self) -> list[str]:
        return list(table())

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """{section: {key: value}} of what is set."""
        return {name: dict(keys) for name, keys in self.items()}

    def __str__(self) -> str:
        return toml_text(self)

    __repr__ = __str__


def is_text(source: Any) -> bool:
    """Whether a str is the text of an input, rather than the name of a file."""
    return isinstance(source, str) and ("\n" in source or "=" in source and not Path(source).exists())


def read(source: Any) -> Mapping[str, Any]:
    """The sections of a dict, an Input, a TOML file or its text."""
    if isinstance(source, Mapping):
        return source
    if not isinstance(source, (str, os.PathLike)):
        raise InputError(f"an input is {{section: {{key: value}}}}, a TOML file or its text; found {source!r}")
    name, text = ("the input", source) if is_text(source) else (os.fspath(source), None)
    try:
        return tomllib.loads(Path(name).read_text(encoding="utf-8") if text is None else text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{name}: {getattr(error, 'strerror', None) or error}") from error
