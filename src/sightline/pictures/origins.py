"""Which picture a row of a tensor came from, and how it lies in it: also after a slice or a copy.

Rows are known by what they hold (16 bytes of blake2b over their shape and float32 values), so they
are found again after slicing, cloning, reordering, joining, and moving to another device. Pictures
whose prepared pixels are equal are told apart by the tensor that they lie in, else by nothing.
"""

import threading
import weakref
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, normalize
from torch.utils.weak import WeakTensorKeyDictionary

from ..errors import BadTarget
from ..ops.batches import batched
from ..shapes import Images
from .frame import Frame
from .preprocess import Opaque, Preprocess
from .reading import Picture

ROWS = 32_768  # prepared rows that are remembered, of about 600 bytes each
HELD = 64_000_000  # bytes of the latest pictures that are kept though their tensor is gone
_COARSE = 8  # rows and columns of what is remembered to see that a picture was changed
_ALIKE = 0.95  # correlation of coarse copies from which a row is a changed picture


@dataclass(frozen=True, eq=False)
class Origin:
    """One prepared row: its picture's name, its frame (None where the geometry is unknown), the
    picture while it lives, and a coarse copy of (channel x 8 x 8) values in eight bits."""

    name: str
    frame: Frame | None
    picture: weakref.ref[Picture]
    coarse: bytes

    def like(self, other: "Origin") -> bool:
        """Whether nothing would be told wrong if one were taken for the other."""
        return (self.name, self.frame) == (other.name, other.frame)


class _Known(NamedTuple):
    """What is known of a living tensor, as long as it is not written into.

    part_of: which rows of how many, where the library cut it from a batch. held: keeps them alive.
    """

    version: int
    origins: tuple[Origin | None, ...]
    held: tuple[Picture | None, ...]
    count: int  # rows of the memory when they were looked up
    part_of: tuple[range, int] | None


class Origins:
    """Where do the rows of these tensors come from? One for a model and its copies; not pickled."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._rows: OrderedDict[bytes, tuple[Origin, ...]] = OrderedDict()
        self._tensors = WeakTensorKeyDictionary()
        self._latest: deque[Picture] = deque()
        self._held = 0
        self._shapes: set[torch.Size] = set()
        self._added = 0

    def __reduce__(self) -> tuple[type["Origins"], tuple[()]]:
        return Origins, ()

    def prepared(self, sources: Sequence[Any], how: Preprocess | Opaque) -> Images:
        """Pictures as a model takes them, with what they were made from remembered."""
        pictures = [how.read(source) for source in sources]
        tensors = batched([how.prepare(picture) for picture in pictures])
        known = isinstance(how, Preprocess)
        return self.add(tensors, pictures, [how.frame(p.size) for p in pictures] if known else None)

    def add(
        self, images: Images, pictures: Sequence[Picture], frames: Sequence[Frame] | None
    ) -> Images:
        """`images`, just prepared, with what they were made from remembered."""
        fresh = [
            Origin(p.name, frames[i] if frames else None, weakref.ref(p), _coarse(images[i]))
            for i, p in enumerate(pictures)
        ]
        digests = [_digest(row) for row in images]
        with self._lock:
            for digest, origin in zip(digests, fresh, strict=True):
                others = (o for o in self._rows.pop(digest, ()) if not o.like(origin))
                self._rows[digest] = (*others, origin)
            self._added += len(fresh)
            while len(self._rows) > ROWS:
                self._rows.popitem(last=False)
            self._shapes.add(images.shape[1:])
            self._tensors[images] = self._known(images, fresh)
            self._latest.extend(pictures)
            self._held += sum(p.array.nbytes for p in pictures)
            while self._held > HELD:
                self._held -= self._latest.popleft().array.nbytes
        return images

    def follow(
        self, part: Float[Tensor, "part channel row col"], whole: Images, rows: slice
    ) -> Float[Tensor, "part channel row col"]:
        """`part`, remembered as the rows of `whole`, whatever its device."""
        with self._lock:
            indices, count = self.rows(whole)
            found = self._find(whole)[rows]
            known = self._known(part, found)
            self._tensors[part] = known._replace(part_of=(indices[rows], count))
        return part

    def rows(self, images: Images) -> tuple[range, int]:
        """Which rows these are of the batch that is explained, and how many it has."""
        with self._lock:
            known = self._tensors.get(images)
        return (known and known.part_of) or (range(len(images)), len(images))

    def pictures(self, images: Images) -> list[Picture] | None:
        """The picture of each row, or None where one is not known or no longer in memory."""
        found = [o.picture() if o else None for o in self._looked_up(images)]
        pictures = [p for p in found if p is not None]
        return pictures if len(pictures) == len(found) else None

    def names(self, images: Images) -> list[str] | None:
        """The name of each row's picture, or None where one is not known."""
        names = [o.name for o in self._looked_up(images) if o]
        return names if len(names) == len(images) else None

    def frames(self, images: Images) -> list[Frame] | None:
        """How each row's picture lies in it, or None where one is not known."""
        frames = [o.frame for o in self._looked_up(images) if o and o.frame]
        return frames if len(frames) == len(images) else None

    def placed(self, images: Images, otherwise: str = "") -> list[Frame | None]:
        """The frame through which places in the picture reach each row; None for a tensor that was
        never a picture, so that its places are its own. otherwise: what else the user can do.

        Raises: BadTarget where a picture was prepared and its frame is lost or unknown.
        """
        found = self._looked_up(images)
        for i, (row, origin) in enumerate(zip(images, found, strict=True)):
            if origin is not None and origin.frame is None:
                raise BadTarget(
                    f"image {i} was prepared by a transform of unknown geometry, so a place of the"
                    " picture cannot be found in it. Give a `sl.Preprocess`, or a transform of"
                    f" torchvision, timm or Hugging Face, as `preprocess`{otherwise}."
                )
            if origin is None and self._lost(row, images):
                raise BadTarget(
                    f"image {i} was changed after `model.prepare` (or is one of several equal"
                    " pictures), so a place of the picture cannot be found in it. Pass the"
                    " tensor that `prepare` returned; slices and copies of it work"
                    f" too{otherwise}."
                )
        return [o.frame if o else None for o in found]

    def _looked_up(self, images: Tensor) -> tuple[Origin | None, ...]:
        with self._lock:
            return self._find(images)

    def _find(self, images: Tensor) -> tuple[Origin | None, ...]:
        if not self._added or images.ndim != 4:
            return (None,) * len(images)
        known = self._tensors.get(images)
        if known and known.version == _version(images):
            if known.count == self._added or all(known.origins):
                return known.origins
        origins = self._through_base(images) or tuple(self._by_content(images))
        part_of = known.part_of if known else None
        self._tensors[images] = self._known(images, origins)._replace(part_of=part_of)
        return origins

    def _known(self, images: Tensor, origins: Sequence[Origin | None]) -> _Known:
        held = tuple(o.picture() if o else None for o in origins)
        return _Known(_version(images), tuple(origins), held, self._added, None)

    def _through_base(self, images: Tensor) -> tuple[Origin | None, ...] | None:
        """For a view of whole rows of a tensor that is known."""
        base = images._base
        known = None if base is None else self._tensors.get(base)
        if base is None or known is None or known.version != _version(base):
            return None
        step, start = base.stride(0), images.storage_offset() - base.storage_offset()
        same = images.shape[1:] == base.shape[1:] and images.stride()[1:] == base.stride()[1:]
        if not same or not step or start % step or images.stride(0) % step:
            return None
        by = images.stride(0) // step
        return tuple(known.origins[start // step + i * by] for i in range(len(images)))

    def _by_content(self, images: Tensor) -> list[Origin | None]:
        if images.shape[1:] not in self._shapes:
            return [None] * len(images)
        found = [self._rows.get(_digest(row), ()) for row in images]
        return [each[0] if len(each) == 1 else None for each in found]

    def _lost(self, row: Tensor, images: Tensor) -> bool:
        """Whether an unknown row was a picture once: its tensor was, it resembles one (also turned
        or mirrored), or one that it may be is forgotten."""
        with self._lock:
            if not self._added:
                return False
            every = [o for origins in self._rows.values() for o in origins]
            if self._added > ROWS or self._cut(images):
                return True
        shown = _coarse(row)
        near = [o.coarse for o in every if len(o.coarse) == len(shown)]
        if not near:
            return False
        mine = _values(shown).reshape(1, -1, _COARSE, _COARSE)
        turned = [mine.rot90(k, (2, 3)) for k in range(4)]
        ways = torch.cat([*turned, *(t.flip(3) for t in turned)]).flatten(1)
        others = torch.stack([_values(c) for c in near])
        mine, others = (normalize(v - v.mean(1, keepdim=True)) for v in (ways, others))
        return bool((mine @ others.T).max() > _ALIKE)

    def _cut(self, images: Tensor) -> bool:
        """Whether these are a part of every row of a tensor that is known."""
        known = None if images._base is None else self._tensors.get(images._base)
        if known is None or self._through_base(images) is not None:
            return False
        return any(known.origins)


def _version(images: Tensor) -> int:
    return -1 if images.is_inference() else images._version


def _digest(row: Tensor) -> bytes:
    """What tells one row from another; halves stand for the eight bits that they were."""
    values = row.detach().cpu().float()
    if row.dtype in (torch.float16, torch.bfloat16):
        values = values.mul(255).round().div(255)
    made = blake2b(str(tuple(row.shape)).encode(), digest_size=16)
    made.update(values.contiguous().numpy().data)
    return made.digest()


def _coarse(row: Tensor) -> bytes:
    small = adaptive_avg_pool2d(row.detach().cpu().float()[None], _COARSE)
    return small.clamp(0, 1).mul(255).round().byte().numpy().tobytes()


def _values(coarse: bytes) -> Tensor:
    return torch.frombuffer(bytearray(coarse), dtype=torch.uint8).float().div(255)
