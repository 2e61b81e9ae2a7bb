"""`sightline methods`: what there is, what each method asks, costs and claims."""

from typing import Any

from . import _options as options
from ._habits import habits, progress, tell_json


def methods(
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Which methods are there, what does each ask, and what does it cost?

    Cost is measured: images sent forward and backward to explain one picture of 128 px with
    sightline:default (sightline:default-vit for methods that read attention).

    Example: sightline methods --json
    """
    with habits(quiet=quiet or json, debug=debug):
        from .. import registry
        from ._record import record

        names = [(kind, name) for kind in registry.ROOMS for name in registry.available(kind)]
        with progress("measuring", len(names), quiet=quiet or json) as advance:
            records = []
            for kind, name in names:
                records.append(record(registry.entry(kind, name)))
                advance(name)
        if json:
            tell_json(records)
        else:
            _table(records)


def _table(records: list[dict[str, Any]]) -> None:  # Any: whatever JSON holds
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for kind in dict.fromkeys(r["kind"] for r in records):
        table = Table(
            title=f"{kind}s",
            title_justify="left",
            title_style="bold",
            box=None,
            padding=(0, 2, 0, 0),
        )
        table.add_column("name", no_wrap=True)
        table.add_column("question")
        table.add_column("passes" if kind == "explainer" else "better is", no_wrap=True)
        table.add_column("paper", no_wrap=True)
        table.add_column("claims")
        for record in (r for r in records if r["kind"] == kind):
            spent = record["passes"]
            cost = (
                f"{spent['forward']} + {spent['backward']}" if spent else record["direction"] or ""
            )
            table.add_row(
                record["name"],
                record["question"],
                cost,
                record["paper"],
                ", ".join(record["claims"]),
            )
        console.print(table)
        console.print()
    console.print(
        "passes: images forward + backward to explain one picture of 128 px.", style="dim"
    )
