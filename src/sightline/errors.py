"""What can go wrong, as one tree: every error that a user can cause is a `SightlineError`.

Each class is also the builtin that Python programmers would catch. A message says what came, what
was expected and what to do.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class SightlineError(Exception):
    """Anything that a user can cause; the command line shows its text without a stack trace."""


class ShapeError(SightlineError, ValueError):
    """A tensor or a list does not have the axes or the length that was expected."""


class OutOfRange(SightlineError, IndexError):
    """No picture of an explanation has this number."""


class UnknownName(SightlineError, KeyError):
    """No method, layer, label or model has this name."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class BadImage(SightlineError, ValueError):
    """A picture that cannot be read, or whose values are outside the range that was promised."""


class BadModel(SightlineError, ValueError):
    """Weights, a checkpoint or a model output that cannot be used."""


class NetworkError(BadModel, RuntimeError):
    """The network itself raised; the text repeats its words, and `__cause__` is its own error."""


class BadTarget(SightlineError, ValueError):
    """A target that does not fit the model's output."""


class BadField(SightlineError, ValueError):
    """A parameter of a method that is outside its range."""


class NotExplainable(SightlineError, RuntimeError):
    """This method cannot treat this model or picture; the text says which part is missing."""


class Cancelled(SightlineError, RuntimeError):
    """Whoever watched the passes of a call has stopped it; the model is as it was."""


class MissingExtra(SightlineError, ImportError):
    """An optional library is not installed; the text names the extra that brings it."""


class MissingReader(BadImage, MissingExtra):
    """A picture whose format needs an optional library; the text names what brings it."""


class FileProblem(SightlineError, OSError):
    """A result that cannot be written: disk full, no permission, or a file that would be lost."""


class SightlineWarning(UserWarning):
    """A result that is valid but surprising."""


class NotMeasured(SightlineWarning):
    """A metric gives NaN for some pictures; the text says which, and why."""


def near(name: str, names: Iterable[str]) -> str:
    """The end of a sentence: it suggests the nearest of `names` in any case, where there is one."""
    known = {each.lower(): each for each in names}
    close = [known[each] for each in get_close_matches(name.lower(), known, n=3, cutoff=0.5)]
    return f"; did you mean {' or '.join(repr(c) for c in close)}?" if close else "."
