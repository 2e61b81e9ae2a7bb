"""Names of the tensors that travel between files: `Images`, `Maps`, `Weights`, `Heat`, ...

They are checked in tests only (jaxtyping's import hook); users pay nothing for them.
"""

from jaxtyping import Float, Int
from torch import Tensor

Images = Float[Tensor, "batch channel row col"]
"""Pictures in the model's input frame, in [0, 1] unless the model has no preprocessing."""

Maps = Float[Tensor, "batch filter mrow mcol"]
"""A layer's output, one map per filter, whatever the layout inside the network."""

Weights = Float[Tensor, "batch filter #mrow #mcol"]
"""What each filter, or each place of each filter, counts for."""

Heat = Float[Tensor, "batch row col"]
"""One number per pixel of the model's input frame."""

Scores = Float[Tensor, "batch"]
"""One target value per image."""

Rows = Int[Tensor, "copies"]
"""For each copy, the image of the batch that it was made from."""
