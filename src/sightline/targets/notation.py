"""What a command line means by a target: one spelling for each kind, `-` before it for evidence
against."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..errors import BadTarget, UnknownName, near
from ..network.labels import matches
from ..pictures.reading import gather
from ..target import Axis, Binary, Class, Contrast, Target, Top
from .structured import Box, Similarity, Token

SPELLINGS = (
    "a label, an index, top, top:1, class:LABEL, binary, binary:no, axis:0, contrast:A,B,"
    " box:x0,y0,x1,y1:LABEL, similarity:PICTURE, token:5,7, text:WORDS"
)
_YES, _NO = ("", "yes", "1"), ("no", "0")


def target(model: Any, text: str | None) -> Target:
    """The target that a text means for this model; `top` for none.

    A word of ours comes before a label that reads like it; `class:binary` is the label. A class
    *named* `3` comes before the index 3, and `class:3` is the index.

    Raises: UnknownName for a label that is not there, BadTarget for what makes no sense.
    """
    if text is None:
        return Top()
    word = text.strip()
    if word.startswith("-"):
        return -target(model, word[1:])
    kind, colon, rest = (part.strip() for part in word.partition(":"))
    make = _KINDS.get(kind.lower())
    if make is not None and (rest or (not colon and kind.lower() in _ALONE)):
        return make(model, rest)
    if not word or (make is not None and not matches(word, model.labels or [])):
        raise BadTarget(f"the target {text!r} is not complete; targets are {SPELLINGS}.")
    return Class(_class(model, word))


def _class(model: Any, word: str) -> int:
    """A class by its label, else by its number."""
    if word.isdecimal() and word not in (model.labels or ()):
        return int(word)
    if model.labels:
        return model.index(word)
    raise BadTarget(
        f"{word!r} is not a class of this model, which has no labels{near(word, _KINDS)} Targets"
        " without labels are written `binary`, `axis:0`, `class:3`."
    )


def _top(model: Any, rest: str) -> Target:
    return Top(_number(rest or "0", "top"))


def _by_class(model: Any, rest: str) -> Target:
    return Class(int(rest) if rest.isdecimal() else _class(model, rest))


def _binary(model: Any, rest: str) -> Target:
    if rest.lower() in (*_YES, *_NO):
        return Binary(positive=rest.lower() in _YES)
    raise BadTarget(f"binary is yes, or `binary:no`; got {rest!r}.")


def _axis(model: Any, rest: str) -> Target:
    return Axis(_number(rest, "axis"))


def _contrast(model: Any, rest: str) -> Target:
    found, reasons = dict[tuple[int, int], str](), list[str]()
    for first, second in _parted(rest):
        try:
            found[_class(model, first), _class(model, second)] = f"{first!r} and {second!r}"
        except (UnknownName, BadTarget) as error:
            reasons.append(str(error))
    if len(found) == 1:
        return Contrast(*next(iter(found)))
    if found:
        raise BadTarget(f"contrast:{rest} may mean {' or '.join(found.values())}; give indices.")
    if len(reasons) == 1:
        raise UnknownName(reasons[0])
    raise BadTarget(
        f"contrast:A,B names two classes, such as contrast:tabby,lynx or contrast:281,287; got"
        f" {rest!r}. {' '.join(dict.fromkeys(reasons[:2]))}".rstrip()
    )


def _parted(text: str) -> Iterator[tuple[str, str]]:
    """The text before and after each comma: labels may hold commas themselves."""
    pieces = text.split(",")
    for k in range(1, len(pieces)):
        yield ",".join(pieces[:k]).strip(), ",".join(pieces[k:]).strip()


def _box(model: Any, rest: str) -> Target:
    edges, _, label = rest.partition(":")
    try:
        x0, y0, x1, y1 = (float(edge) for edge in edges.split(","))
    except ValueError:
        label = ""
    if not label.strip():
        raise BadTarget(f"a box is written box:x0,y0,x1,y1:LABEL; got 'box:{rest}'.")
    return Box((x0, y0, x1, y1), _class(model, label.strip()))


def _similarity(model: Any, rest: str) -> Target:
    (picture, *others) = gather([Path(rest).expanduser()])
    if others:
        raise BadTarget(f"similarity: names one picture; {rest!r} holds {1 + len(others)}.")
    return Similarity(model.outputs(model.prepare([picture]))[0].cpu())


def _token(model: Any, rest: str) -> Target:
    return Token(tuple(_number(each.strip(), "token") for each in rest.split(",")))


def _text(model: Any, rest: str) -> Target:
    raise BadTarget(
        f"text:{rest} needs a network with a shared space for text and pictures, such as CLIP;"
        f" {model.name} has no text encoder. Name a class, or a picture: similarity:PICTURE."
    )


def _number(text: str, kind: str) -> int:
    if not text.removeprefix("-").isdecimal():
        raise BadTarget(f"{kind}: takes a whole number, such as {kind}:1; got {text!r}.")
    return int(text)


_KINDS: dict[str, Callable[[Any, str], Target]] = {
    "top": _top,
    "class": _by_class,
    "binary": _binary,
    "axis": _axis,
    "contrast": _contrast,
    "box": _box,
    "similarity": _similarity,
    "token": _token,
    "text": _text,
}
_ALONE = ("top", "binary")
