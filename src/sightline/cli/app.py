"""The `sightline` command: one file per verb, wired here.

Nothing heavy is imported until a verb runs, so that `sightline --help` answers at once.
"""

from typing import Annotated, NoReturn

import typer

from .. import __version__
from . import attack, benchmark, demo, evaluate, explain, inspect, methods, report
from .console import USAGE, to_stderr

app = typer.Typer(
    name="sightline",
    help="What an image model looks at and why, and how far to believe it.\n\n"
    "Start with: sightline demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

LATER = (
    "index",
    "search",
    "train",
    "papers",
    "studio",
)

app.command("demo", short_help="The main job on drawn birds; no network needed.")(demo.demo)
app.command(
    "explain", no_args_is_help=True, short_help="Maps, numbers and a report for your pictures."
)(explain.explain)
app.command("evaluate", no_args_is_help=True, short_help="Which method to trust on your pictures.")(
    evaluate.evaluate
)
app.command("attack", no_args_is_help=True, short_help="Find small changes that fool the model.")(
    attack.attack
)
app.command("benchmark", short_help="A leaderboard: known truth, photographs, baselines.")(
    benchmark.benchmark
)
app.command(
    "report", no_args_is_help=True, short_help="Rebuild a run's report without recomputing."
)(report.report)
app.command("methods", short_help="What there is: question, paper, cost, claims.")(methods.methods)
app.command("inspect", no_args_is_help=True, short_help="What a network is made of.")(
    inspect.inspect
)


def _version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"sightline {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and leave."
        ),
    ] = False,
) -> None:
    """Options before the verb."""


def _announce(verb: str) -> None:
    settings = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}

    @app.command(verb, hidden=True, context_settings=settings)
    def later() -> NoReturn:
        ready = ", ".join(c.name for c in app.registered_commands if c.name and not c.hidden)
        to_stderr(
            f"`sightline {verb}` is not there yet in {__version__}; what works today: {ready}."
        )
        raise typer.Exit(USAGE)


for _verb in LATER:
    _announce(_verb)


def main() -> None:
    """The entry point of the installed command."""
    app()
