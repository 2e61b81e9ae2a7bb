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

    Cost was measured: images sent forward and backward to explain one picture of 128 px with
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
    from rich.text import Text

    console = Console()
    for kind in dict.fromkeys(r["kind"] for r in records):
        cost = "passes" if kind == "explainer" else "better is"
        table = Table(
            "name", cost, "paper", "what it asks, and claims", box=None, padding=(0, 2, 1, 0)
        )
        for record in (r for r in records if r["kind"] == kind):
            spent, claims = record["passes"], ", ".join(record["claims"])
            cost = _passes(spent) if spent else record["direction"]
            told = Text(record["question"]).append(f"\n{claims}" if claims else "", "dim")
            table.add_row(Text(record["name"], "bold"), cost or "", record["paper"], told)
        console.print(f"{kind}s", style="bold underline")
        console.print(table)
    console.print(
        "passes: images forward + backward to explain one picture of 128 px; copies run behind a"
        " layer only",
        style="dim",
    )


def _passes(spent: dict[str, int]) -> str:
    copies = f"\n{spent['copies']} copies" if spent["copies"] else ""
    return f"{spent['forward']} + {spent['backward']}{copies}"
