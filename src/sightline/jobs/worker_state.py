"""The state in which every process asks a model: one thread, one batch size, the execution copy
made from the same picture.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..errors import SightlineError
from ..model import Model
from ..ops.noise import generator


@contextmanager
def steady(model: Model, batch: int) -> Iterator[None]:
    """One thread, and that batch size for the model, while it lasts; both come back.

    The model first sees a drawn picture, so that whether its execution copy is taken does not
    depend on which picture comes first.
    """
    threads = torch.get_num_threads()
    before, model.batch = model.batch, batch
    torch.set_num_threads(1)
    try:
        if model.size is not None and not model.side:
            shape = (1, model.calling.channels(model.module), *model.size)
            drawn = torch.rand(
                shape, generator=generator(0, "first picture"), dtype=torch.float32, device="cpu"
            )
            try:
                with torch.no_grad():
                    model.trace(drawn.to(model.device))
            except (SightlineError, RuntimeError):
                pass  # the pictures will say what is wrong with the model
        yield
    finally:
        model.batch = before
        torch.set_num_threads(threads)
