"""A function of yours as a method: (network, pictures, class) -> maps.

`Outside.of(function, name="mine")` in Python; `outside:FILE.py:FUNCTION` or
`outside:MODULE:FUNCTION` as a name. The function is known to a run by the text of its file and by
what it holds, so a changed function is computed again.
"""

import hashlib
import importlib
import importlib.util
import inspect
import pickle
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

from ...errors import BadField
from ...registry import register_family
from ._adapter_input import Adapter, AdapterInput
from ._options import Setting


@register_family("outside")
@dataclass(frozen=True, kw_only=True)
class Outside(Adapter):
    """What does a function from outside this library show?

    function: where it is, `FILE.py:NAME` or `MODULE:NAME`. It is called as function(network,
    pictures, index) with one picture (1, channel, row, col) and returns a map (1, row, col), or
    (1, channel, row, col), which is summed; a coarser one is enlarged. takes: `module` gives it a
    copy of the bare network and normalised pictures, `model` the Model and pictures in [0, 1].
    title: its name in tables. version: yours; finished cells are kept as long as it and `code`
    stay. code: a fingerprint of the function, found out here.

    Do not trust it more than the function itself: nothing here checks its idea.

    >>> import torch, sightline as sl
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 2))
    >>> brightness = Outside.of(lambda network, pictures, index: pictures, name="brightness")
    >>> sl.explain(net, torch.ones(1, 3, 8, 8), method=brightness).values[0, 0, 0]
    tensor(3.)
    """

    function: str
    takes: Literal["module", "model"] = "module"
    title: str = ""
    version: str = ""
    code: str = ""

    def __post_init__(self) -> None:
        if self.takes not in ("module", "model"):
            raise BadField(f"takes is 'module' or 'model'; got {self.takes!r}.")
        title = self.title or self.function.rpartition(":")[2].rpartition(".")[2]
        code = self.code or fingerprint(_imported(self.function), self.version)
        settled = {"title": title, "code": code, "registered_name": f"outside:{title}"}
        for field, value in settled.items():
            object.__setattr__(self, field, value)  # frozen, and this is its making

    @classmethod
    def fields_of(cls, rest: str, options: dict[str, Setting]) -> dict[str, Any]:
        told = {k: v if k == "seed" else str(v) for k, v in options.items()}
        return {"function": rest, **told}

    @staticmethod
    def of(
        function: Callable[..., Any],
        name: str = "",
        version: str = "",
        takes: Literal["module", "model"] = "module",
        seed: int = 0,
    ) -> "Outside":
        """The method that calls this function, which need not be importable, as `outside:NAME`.

        Raises: BadField for what cannot be called with three arguments.
        """
        _refuse_others(function)
        named = getattr(function, "__qualname__", type(function).__qualname__)
        module = getattr(function, "__module__", type(function).__module__)
        made = Outside(
            function=f"{module}:{named}",
            takes=takes,
            title=name or named.rpartition(".")[2].strip("<>"),
            version=version,
            code=fingerprint(function, version),
            seed=seed,
        )
        object.__setattr__(made, "_held", function)
        return made

    def map(self, given: AdapterInput) -> Any:
        function = self.__dict__.get("_held")
        if function is None:
            function = _imported(self.function)
            if fingerprint(function, self.version) != self.code:
                raise BadField(
                    f"{self.function} is not the function that this method was made from; create"
                    " the method again."
                )
        if self.takes == "model":
            return function(given.model, given.natural, given.index)
        return function(given.module, given.images, given.index)


def _refuse_others(function: Any) -> None:
    try:
        inspect.signature(function).bind("network", "pictures", "index")
    except (TypeError, ValueError) as error:
        raise BadField(
            "an outside method is called as function(network, pictures, index);"
            f" {function!r} cannot be: {error}."
        ) from None


@cache
def _imported(address: str) -> Callable[..., Any]:
    """The function at `FILE.py:NAME` or `MODULE:NAME`. Raises: BadField with what is missing."""
    place, colon, name = address.rpartition(":")
    if not colon or not place or not name:
        raise BadField(f"outside: takes FILE.py:FUNCTION or MODULE:FUNCTION; got {address!r}.")
    try:
        module = _file(Path(place)) if place.endswith(".py") else _module(place)
        function: Any = module
        for part in name.split("."):
            function = getattr(function, part)
    except BadField:
        raise
    except Exception as error:  # importing runs code of others, which raises what it likes
        raise BadField(f"{address} gives no function: {type(error).__name__}: {error}.") from None
    _refuse_others(function)
    return function


def _file(path: Path) -> Any:
    path = path.expanduser().resolve()
    if not path.is_file():
        raise BadField(f"there is no file {path}; outside: takes FILE.py:FUNCTION.")
    name = f"sightline_outside_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        if str(path.parent) not in sys.path:  # the file may import its neighbours
            sys.path.append(str(path.parent))
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


def _module(name: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
    return importlib.import_module(name)


def fingerprint(function: Any, version: str = "") -> str:
    """16 digits that change with the function: its file's text, its own code, and what it holds.

    Where it holds what cannot be written down and no `version` vouches for it, they are new each
    time: nothing stale is ever taken for an answer of it.
    """
    known = hashlib.sha256(version.encode())
    bare, held = _opened(function)
    try:
        known.update(Path(inspect.getfile(bare)).read_bytes())
    except (TypeError, OSError):  # typed in at a prompt
        pass
    code = getattr(bare, "__code__", None)
    if code is not None:
        known.update(code.co_code + f"{code.co_firstlineno} {code.co_names}".encode())
    known.update(getattr(bare, "__qualname__", "").encode())
    try:
        known.update(pickle.dumps(held))
    except Exception:  # pickling runs code of every part, which raises what it likes
        known.update(b"" if version else uuid.uuid4().bytes)
    return known.hexdigest()[:16]


def _opened(function: Any) -> tuple[Any, list[Any]]:
    """The function or class that has the code, and what is bound to it."""
    held: list[Any] = []
    while isinstance(function, partial):
        held += [function.args, sorted(function.keywords.items())]
        function = function.func
    if inspect.ismethod(function):
        held.append(function.__self__)
        function = function.__func__
    if not inspect.isfunction(function) and not inspect.isbuiltin(function):
        return type(function), [*held, function]
    cells = getattr(function, "__closure__", None) or ()
    bound = [cell.cell_contents for cell in cells]
    return function, [*held, *bound, getattr(function, "__defaults__", None)]
