"""Joins ES modules into one script, for pages that must need nothing but themselves.

The studio and the widgets serve the same files as they lie. Imports and the word `export` are
dropped, a module stands after those that it imports, and comments and types (JSDoc) are left out.
What is imported under another name (`import { render as renderTables }`) is called so in the whole
script; all names at the top of all modules are then different.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([\w-]+\.js)";\n', re.MULTILINE)
_NAME = re.compile(r"^(export )?(?:async )?(?:function|class|const|let) (\w+)", re.MULTILINE)
_REMARK = re.compile(r"^[ \t]*//.*\n", re.MULTILINE)
_TYPE = r"/\*\*(?:(?!\*/).)*\*/"
_TYPES = re.compile(rf"^[ \t]*{_TYPE}\n|{_TYPE} ?", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Module:
    """A module's text, and what it imports: file -> name there -> name here."""

    file: str
    text: str
    imports: Mapping[str, Mapping[str, str]]

    @property
    def names(self) -> list[str]:
        """The names at its top."""
        return [found[2] for found in _NAME.finditer(self.text)]

    @property
    def exports(self) -> set[str]:
        """Those that others may import."""
        return {found[2] for found in _NAME.finditer(self.text) if found[1]}

    def body(self, renamed: Mapping[str, str]) -> str:
        """Its text without imports, exports and types. renamed: name -> name in the script."""
        text = _REMARK.sub("", _TYPES.sub("", _IMPORT.sub("", self.text)))
        text = re.sub(r"^export ", "", text, flags=re.MULTILINE)
        for name, other in renamed.items():
            text = re.sub(rf"(?<![.\w]){name}\b(?=\()", other, text)
        return re.sub(r"\n{3,}", "\n\n", text).strip("\n")


def joined(entry: str, read: Callable[[str], str]) -> str:
    """One script that does what the module `entry` does. read: the text of a file."""
    modules = list(_in_order(entry, read, set()))
    aliases: dict[str, dict[str, str]] = {module.file: {} for module in modules}
    for module in modules:
        for file, names in module.imports.items():
            for name, here in names.items():
                known = aliases[file].setdefault(name, here)
                assert known == here, f"{file}: {name} is imported as {known} and as {here}"
    for module in modules:
        missing = set(aliases[module.file]) - module.exports
        assert not missing, f"{module.file} does not export {missing}"
    names = [aliases[m.file].get(name, name) for m in modules for name in m.names]
    twice = {name for name in names if names.count(name) > 1}
    assert not twice, f"two modules name {twice} at their top"
    return "\n\n".join(
        module.body({n: o for n, o in aliases[module.file].items() if n != o}) for module in modules
    )


def _in_order(entry: str, read: Callable[[str], str], seen: set[str]) -> Iterator[Module]:
    """The module and all that it imports, each once, after those that it imports itself."""
    seen.add(entry)
    text = read(entry)
    imports: dict[str, dict[str, str]] = {}
    for found in _IMPORT.finditer(text):
        pairs = [part.strip().split(" as ") for part in found[1].split(",") if part.strip()]
        imports[found[2]] = {pair[0]: pair[-1] for pair in pairs}
    left = [line for line in _IMPORT.sub("", text).splitlines() if line.startswith("import")]
    assert not left, f'{entry}: only `import {{ names }} from "./file.js";` is joined: {left}'
    for file in imports:
        if file not in seen:
            yield from _in_order(file, read, seen)
    yield Module(file=entry, text=text, imports=imports)
