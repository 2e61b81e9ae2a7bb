"""Names of the tensors that travel between files: `Images`, `Maps`, `Weights`, `Heat`, ...

They are checked in tests only (jaxtyping's import hook); users pay nothing for them. Axes of one
name have one length within a call; `#` admits 1 as well. A shape that occurs once is written where
it occurs.
"""

from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

Images = Float[Tensor, "batch channel row col"]
"""Pictures in the model's input frame, in [0, 1] unless the model has no preprocessing."""

Masks = Float[Tensor, "#batch #channel row col"]
"""What of a picture is shown: 1 is kept, 0 hidden; one mask may serve all pictures and channels."""

Maps = Float[Tensor, "batch filter mrow mcol"]
"""A layer's output, one map per filter, whatever the layout inside the network."""

Weights = Float[Tensor, "batch filter #mrow #mcol"]
"""What each filter, or each place of each filter, counts for."""

Heat = Float[Tensor, "batch row col"]
"""One number per pixel of the model's input frame, or per cell of a coarser grid."""

Scores = Float[Tensor, "batch"]
"""One number per image: a target's value, a metric's, a distance."""

Flags = Bool[Tensor, "batch"]
"""Whether something holds of each image."""

Logits = Float[Tensor, "batch class"]
"""One score per class for each image, before any softmax."""

Curves = Float[Tensor, "batch point"]
"""What a metric measured of each image on the way to its number."""

Classes = Int[Tensor, "batch"]
"""The index of a class for each image."""

Rows = Int[Tensor, "copies"]
"""For each copy, the image of the batch that it was made from."""

BatchFirst = Shaped[Tensor, "batch ..."]
"""Any tensor with one entry per image: a side input, a layer's raw output."""

AnyTensor = Shaped[Tensor, "..."]
"""A tensor of any shape and type, for what treats all alike (a rule of an operation, a record)."""
