"""A tape run on the boxes that windows change, and on whole maps from where boxes no longer pay.

The maps of the untouched picture are kept where a box needs its surroundings. A box with its halo
is cut from them, what changed is pasted in, and the operation runs on all boxes as one batch. An
operation that is not local, or whose box is nearly the map, gets copies of the whole map with the
boxes pasted in; what comes after it runs as in any batch.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from .local import Local, localised
from .map_boxes import Boxes, cut, padded, paste, whole
from .tape import Ref, Step, Tape, Unrepeatable, filled

LARGEST = 0.8  # of the side of a map; a larger box is no cheaper than the map
TRAFFIC = 40.0  # multiply-adds that cost as much as touching one number
Sides = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class BorderedMap:
    """A map of the untouched picture, with a border: (left, right, top, bottom) of `fill`."""

    number: int
    sides: Sides = (0, 0, 0, 0)
    fill: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """How a tape runs for some windows: what each step does, and where the boxes are.

    locals: the steps that run on boxes, by their position. boxes: by the number of a tensor.
    """

    tape: Tape
    locals: Mapping[int, Local]
    boxes: Mapping[int, Boxes]
    shapes: Mapping[int, tuple[int, ...]]

    @classmethod
    def of(
        cls, tape: Tape, size: tuple[int, ...], corners: Tensor, largest: float = LARGEST
    ) -> "Plan":
        """size: of a picture, (channel, row, col). corners: (window, 4), all of one size.

        Raises: Unrepeatable for windows of several sizes, and where a step uses what boxes lack.
        """
        if len({(bottom - top, right - left) for top, left, bottom, right in corners.tolist()}) > 1:
            raise Unrepeatable("windows of several sizes")
        shapes: dict[int, tuple[int, ...]] = {0: (2, *size)}
        shapes |= {number: tuple(value.shape) for number, value in tape.constants.items()}
        boxes = {0: Boxes.around(corners, (size[1], size[2]))}
        found: dict[int, Local] = {}
        lost: set[int] = set()
        for i, step in enumerate(tape.steps):
            if not lost.isdisjoint(step.uses):
                raise Unrepeatable(f"{step.name} uses positions inside of boxes")
            local = localised(step, boxes, tape.constants, shapes)
            shapes |= dict(zip(step.made, step.shapes, strict=True))
            if local is None or local.boxes.share > largest:
                continue
            found[i] = local
            for number, shape in zip(step.made, step.shapes, strict=True):
                if number == step.made[0] or (len(shape) == 4 and local.reaches is None):
                    boxes[number] = local.boxes
                else:
                    lost.add(number)
        return cls(tape=tape, locals=found, boxes=boxes, shapes=shapes)

    @cached_property
    def kept(self) -> frozenset[BorderedMap]:
        """The maps of the untouched picture that are needed."""
        found: set[BorderedMap] = set()
        for i, step in enumerate(self.tape.steps):
            local = self.locals.get(i)
            for number in step.uses:
                if number in self.boxes and local is None:
                    found.add(BorderedMap(number=number))
                elif number in self.boxes and local is not None:
                    found |= {kept} if (kept := self.around(step, local, number)) else set()
        if self.tape.output in self.boxes:  # maps are what the network returns
            found.add(BorderedMap(number=self.tape.output))
        return frozenset(found)

    def around(self, step: Step, local: Local, number: int) -> BorderedMap | None:
        """What surrounds the boxes of tensor `number` where a step needs more than them."""
        if local.halo and local.reaches:
            given, made = self.shapes[number][2:], step.shapes[0][2:]
            ends = [
                max((made[i] - 1) * r.stride + r.span - r.padding - given[i], 0)
                for i, r in enumerate(local.reaches)
            ]
            rows, cols = local.reaches
            sides = (cols.padding, ends[1], rows.padding, ends[0])
            return BorderedMap(number=number, sides=sides, fill=local.fill)
        same = local.run is not None or _alike(self.boxes[number], local.boxes)
        return None if same else BorderedMap(number=number)

    @cached_property
    def gain(self) -> float:
        """How many times less work than full forwards, by a rough count."""
        full = left = 0.0
        for i, step in enumerate(self.tape.steps):
            work = _work(step, self.shapes, self.tape.constants)
            full += work
            local = self.locals.get(i)
            if local is None:
                left += work
                continue
            left += work * local.boxes.area
            around = [n for n in step.uses if n in self.boxes and self.around(step, local, n)]
            left += 2 * TRAFFIC * sum(self._patch(local, number) for number in around)
        return full / max(left, 1.0)

    def _patch(self, local: Local, number: int) -> int:
        """How many numbers are cut for one window from what surrounds a box."""
        height, width = local.boxes.size
        if local.reaches:
            height, width = local.reaches[0].inputs(height), local.reaches[1].inputs(width)
        channels, rows, cols = self.shapes[number][1:]
        return channels * min(height * width, rows * cols)

    @cached_property
    def bytes_per_picture(self) -> int:
        """What the untouched maps of one picture take, in float32."""
        found = 0
        for kept in self.kept:
            channels, rows, cols = self.shapes[kept.number][1:]
            left, right, top, bottom = kept.sides
            found += 4 * channels * (rows + top + bottom) * (cols + left + right)
        return found

    @cached_property
    def bytes_per_window(self) -> int:
        """The most that one step reads and writes for one window, in float32."""
        found = 0
        for i, step in enumerate(self.tape.steps):
            local = self.locals.get(i)
            numbers = [n for n in (*step.uses, *step.made) if n not in self.tape.constants]
            sizes = []
            for n in numbers:
                shape = self.shapes[n]
                if local and n in self.boxes:
                    shape = (2, shape[1], *self.boxes[n].size)
                sizes.append(torch.Size(shape).numel() * 2)
            found = max(found, sum(sizes))
        return found


def _alike(a: Boxes, b: Boxes) -> bool:
    return (a.rows.starts, a.cols.starts, a.size) == (b.rows.starts, b.cols.starts, b.size)


def _work(step: Step, shapes: Mapping[int, tuple[int, ...]], fixed: Container[int]) -> float:
    """Of one image, in multiply-adds; copies count as none."""
    if step.name in ("aten.alias", "aten.clone", "aten.detach"):
        return 0.0
    made = torch.Size(step.shapes[0]).numel() / 2
    inner = 0.0
    if step.name == "aten.convolution":
        weight = step.args[1]
        inner = torch.Size(shapes[weight.index][1:]).numel() if isinstance(weight, Ref) else 0
    elif step.name in ("aten.addmm", "aten.mm", "aten.bmm"):
        inner = shapes[step.uses[-2]][-1]
    elif step.shapes[0]:  # a layer of several matrices
        matrices = [shapes[n] for n in step.uses if len(shapes[n]) == 2 and n in fixed]
        inner = sum(rows * cols for rows, cols in matrices) / max(step.shapes[0][-1], 1)
    return made * (inner + TRAFFIC)


class Untouched:
    """The maps of some pictures that their windows need; made once, used by every chunk."""

    def __init__(self, plan: Plan, images: Tensor) -> None:
        self.maps: dict[BorderedMap, Tensor] = {}
        missing = set(plan.kept)
        overwritten = {step.uses[0] for step in plan.tape.steps if step.function._schema.is_mutable}
        values: dict[int, Any] = {0: images, **plan.tape.constants}
        self._take(0, values, missing, overwritten)
        for step in plan.tape.play(values, len(images)):
            for number in step.made:
                self._take(number, values, missing, overwritten)
            if not missing:
                break

    def _take(
        self, number: int, values: dict[int, Any], missing: set[BorderedMap], overwritten: set[int]
    ) -> None:
        for kept in [k for k in missing if k.number == number]:
            maps = padded(values[number], kept.sides, kept.fill)
            own = number in overwritten and maps is values[number]
            self.maps[kept] = maps.clone() if own else maps
            missing.remove(kept)


class Replay:
    """One chunk of windows on its way through the tape.

    A tensor is here as boxes, as whole maps, or as both. pictures: the untouched one that each
    window lies on; None: all lie on the first.
    """

    def __init__(
        self,
        plan: Plan,
        untouched: Untouched,
        windows: Sequence[int],
        pictures: Sequence[int] | None = None,
    ) -> None:
        self.plan, self.untouched, self.windows = plan, untouched, windows
        self.count, self.pictures = len(windows), pictures
        self.boxes: dict[int, Tensor] = {}
        self.wholes: dict[int, Any] = dict(plan.tape.constants)

    def inside(self, pictures: Tensor) -> Tensor:
        """What pictures show inside of the windows: of one (1, channel, row, col), or of one for
        each (window, channel, row, col).
        """
        boxes, own = self.plan.boxes[0], range(self.count) if len(pictures) > 1 else None
        return cut(pictures, boxes.places(self.windows), boxes.size, own)

    def run(self, hidden: Tensor) -> Tensor:
        """The network's output for each window; hidden: pictures as `inside` takes them, which show
        inside of windows.
        """
        return self.play(self.inside(hidden))

    def play(self, shown: Tensor) -> Tensor:
        """The network's output for each window; shown: what is `inside` of each."""
        tape = self.plan.tape
        self.boxes[0] = shown
        last = tape.last_uses
        for i, step in enumerate(tape.steps):
            local = self.plan.locals.get(i)
            if local is None:
                for number in step.uses:
                    self._complete(number)
                step.run(self.wholes, self.count)
            else:
                self._step(step, local)
            for number in {*step.uses, *step.made}:
                if last.get(number, -1) <= i and number not in tape.constants:
                    self.boxes.pop(number, None)
                    self.wholes.pop(number, None)
        self._complete(tape.output)
        return self.wholes[tape.output]

    def _complete(self, number: int) -> None:
        if number not in self.wholes:
            places = self.plan.boxes[number].places(self.windows)
            maps = self.untouched.maps[BorderedMap(number=number)]
            self.wholes[number] = whole(maps, self.boxes[number], places, self.pictures)

    def _step(self, step: Step, local: Local) -> None:
        given = {
            n: self._cut(step, local, n) if n in self.boxes else self.wholes[n] for n in step.uses
        }
        args, kwargs = filled((step.args, step.kwargs), given, self.count)
        run = local.run
        returned = run(step.function, args, kwargs) if run else step.function(*args, **kwargs)
        made = returned if isinstance(returned, (tuple, list)) else (returned,)
        self.boxes.update(zip(step.made, made, strict=True))

    def _cut(self, step: Step, local: Local, number: int) -> Tensor:
        """The boxes of an input, with all that the step sees around them."""
        kept = self.plan.around(step, local, number)
        boxes, at = self.boxes[number], self.plan.boxes[number].places(self.windows)
        if kept is None:
            return boxes
        wanted, size = local.boxes.places(self.windows), local.boxes.size
        if local.reaches:
            rows, cols = local.reaches
            wanted = [(r * rows.stride, c * cols.stride) for r, c in wanted]  # the border included
            size = rows.inputs(size[0]), cols.inputs(size[1])
            at = [(r + kept.sides[2], c + kept.sides[0]) for r, c in at]
        found = cut(self.untouched.maps[kept], wanted, size, self.pictures)
        paste(found, wanted, boxes, at)
        return found
