"""`sightline methods`: what there is, what each method asks, costs and claims."""

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from . import _options as options
from .catalogue import groups
from .console import json_to_stdout, to_stdout, verb_context

if TYPE_CHECKING:
    from ..registry import Entry


def methods(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...", help="Methods to show in full. Default: all.", show_default=False
        ),
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Which methods are there, what does each ask, and what does it cost?

    Cost was measured: images sent forward and backward to explain one picture of 128 px with
    sightline:default (sightline:default-vit for methods that read attention).

    Example: sightline methods grad-cam
    """
    with verb_context(quiet=quiet or json, debug=debug):
        from .catalogue.facts import record

        records = [record(entry) for entry in _entries(names or ())]
        if json:
            return json_to_stdout(records)
        columns = groups.width()
        told = [groups.details(r, columns) for r in records] if names else []
        for lines in told or [groups.listing(records, columns)]:
            for line in lines:
                to_stdout(line)


def _entries(names: Sequence[str]) -> "list[Entry]":
    """What is registered under these names, or everything. Raises: UnknownName."""
    from .. import registry
    from ..errors import UnknownName, near

    every = [registry.entry(kind, n) for kind in registry.ROOMS for n in registry.available(kind)]
    found = []
    for wanted in names:
        known = []
        for kind in registry.ROOMS:
            with suppress(UnknownName):
                known.append(registry.entry(kind, wanted))
        if not known:
            hint = near(wanted, [entry.name for entry in every])
            raise UnknownName(f"no method named {wanted!r}{hint} `sightline methods` lists all.")
        found += known
    return found if names else every
