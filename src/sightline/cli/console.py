"""What every verb has: exit statuses, one-line errors, remarks on stderr, JSON on stdout."""

import json
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import typer

from ..errors import FileProblem, SightlineError, SightlineWarning
from .waiting.bar import shown
from .waiting.meter import Meter

DONE, WITH_ERRORS, USAGE, INTERRUPTED = 0, 1, 2, 130


def _printable(text: str) -> str:
    """The text with bytes of a file's name that are not UTF-8 as `\\udcff` and so on."""
    return text.encode("utf-8", "backslashreplace").decode()


def to_stderr(text: str) -> None:
    """One line to stderr; lost where nobody can read it any more (a terminal that was closed)."""
    with suppress(OSError):
        print(_printable(text), file=sys.stderr)


def resume_hint(out: Path) -> str:
    """What an interrupted run says last: what is kept, and how to go on."""
    return f"interrupted; what is finished is kept in {out}: the same command goes on"


def to_stdout(text: str = "") -> None:
    """One line to stdout."""
    print(_printable(text))


def json_to_stdout(data: Any) -> None:  # Any: whatever JSON holds
    """The machine-readable result to stdout; numbers that JSON does not know become null."""
    to_stdout(json.dumps(finite(data), indent=2, ensure_ascii=False, allow_nan=False))


def finite(data: Any) -> Any:  # Any: whatever JSON holds
    """Plain data with null for numbers that JSON does not know."""
    if isinstance(data, dict):
        return {str(k): finite(v) for k, v in data.items()}
    if isinstance(data, (list, tuple)):
        return [finite(v) for v in data]
    if isinstance(data, float) and data - data != 0:
        return None
    return data


@contextmanager
def verb_context(*, quiet: bool, debug: bool) -> Iterator[list[str]]:
    """Runs the body of a verb: errors that a user can cause become one line and an exit status.

    A request to end (SIGTERM) and a terminal that closes (SIGHUP) are what Ctrl-C is.
    The library's remarks (what it chose where nothing was said) and warnings go to stderr; the
    list that this yields keeps the remarks.
    """
    with _remarks(quiet) as remarks, warnings.catch_warnings(), _as_ctrl_c():
        if not debug:
            warnings.simplefilter("ignore")
        warnings.simplefilter("default", SightlineWarning)
        warnings.showwarning = _show(quiet)
        try:
            yield remarks
            sys.stdout.flush()
        except KeyboardInterrupt:
            to_stderr("interrupted")
            raise typer.Exit(INTERRUPTED) from None
        except SightlineError as error:
            if debug:
                raise
            to_stderr(f"error: {error}")
            raise typer.Exit(WITH_ERRORS if isinstance(error, FileProblem) else USAGE) from None
        except (typer.Exit, typer.Abort):
            raise
        except BrokenPipeError:  # `| head` has read enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            raise typer.Exit(DONE) from None
        except Exception as error:  # a fault of ours: still no trace in a user's face
            if debug:
                raise
            to_stderr(f"error: {type(error).__name__}: {error}")
            to_stderr("This is not your mistake; `--debug` shows where it happened.")
            raise typer.Exit(WITH_ERRORS) from None


@contextmanager
def _as_ctrl_c() -> Iterator[None]:
    """Other requests to stop raise KeyboardInterrupt too; one that is ignored (nohup) stays so."""

    def stop(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    names = ("SIGTERM", "SIGHUP") if threading.current_thread() is threading.main_thread() else ()
    asked = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {each: signal.getsignal(each) for each in asked}
    changed = {each: old for each, old in before.items() if old is signal.SIG_DFL}
    try:
        for each in changed:
            signal.signal(each, stop)
        yield
    finally:
        for each, old in changed.items():
            signal.signal(each, old)


def _show(quiet: bool) -> Callable[..., None]:
    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        if not quiet:
            to_stderr(f"warning: {message}")

    return show


class _Aloud(logging.Handler):
    def __init__(self, quiet: bool) -> None:
        super().__init__()
        self.quiet, self.heard = quiet, list[str]()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        self.heard.append(text)
        if not self.quiet or record.levelno >= logging.ERROR:
            to_stderr(text)


@contextmanager
def _remarks(quiet: bool) -> Iterator[list[str]]:
    log, handler = logging.getLogger("sightline"), _Aloud(quiet)
    before = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield handler.heard
    finally:
        log.removeHandler(handler)
        log.setLevel(before)


@contextmanager
def progress(what: str, total: int, *, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Shows on stderr how many of so many things are done; gives a function that marks one more.

    A bar with the time left on a terminal, a line every half minute elsewhere, nothing if `quiet`.
    """
    meter = Meter(what, total)
    with shown(meter, quiet=quiet):
        yield meter.advance
