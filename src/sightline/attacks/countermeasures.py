"""What helps against attacks: disagreement between explainers reveals them, small transformations
undo them.

Sources: AdvEdge (arXiv:2211.15926) and ADV2 (USENIX Security 2020) name a detector from several
explainers and general defences (details from memory, not confirmed); what is here is a project
definition. Detector: explain a picture with explainers that were not attacked, take the distances
between each two of their maps (L1 of maps from 0 to 1; overlap of the upper parts at three levels),
and fit a logistic regression of attacked against clean. Transformations: fewer bits, median, JPEG,
blur, as in feature squeezing (Xu et al., NDSS 2018, from memory).

Do not trust a detector to know an attack that it was not fitted on, nor one that knows the
detector: each further explainer can be attacked too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn import functional

from ..errors import BadField, NotExplainable
from ..explainer import Explainer
from ..explanation import Heatmap
from ..model import Model
from ..ops.blur import gaussian_blur
from ..ops.similarity import spearman, stretched
from ..shapes import Images

LEVELS = (0.25, 0.5, 0.75)


@dataclass(frozen=True, kw_only=True)
class Detection:
    """How well the detector separates attacked from clean pictures that it was not fitted on.

    auc: mean over splits of the area under the curve, 0.5 for guessing. spread: standard deviation
    over the splits. pictures: clean ones, each with its attacked twin. held_out: of them.
    """

    auc: float
    spread: float
    pictures: int
    held_out: int


def disagreements(
    model: Model, images: Images, explainers: Sequence[Explainer]
) -> Float[Tensor, "batch number"]:
    """How far each two explainers are apart on the class that the model sees, (picture, number);
    NaN where one of them has no map.

    Raises: BadField for fewer than two explainers.
    """
    if len(explainers) < 2:
        raise BadField(
            "at least two explainers are needed to compare their maps; got"
            f" {len(explainers)}. Give another one."
        )
    maps = []
    for explainer in explainers:
        heat = explainer(model, images)
        if not isinstance(heat, Heatmap):
            raise NotExplainable(f"{explainer.registered_name} gives no map to compare.")
        maps.append(stretched(heat.values.double().cpu()))
    return torch.cat([_distance(a, b) for a, b in combinations(maps, 2)], 1)


def _distance(a: Tensor, b: Tensor) -> Tensor:
    columns = [(a - b).abs().mean((1, 2))]
    for level in LEVELS:
        both, either = (a > level) & (b > level), (a > level) | (b > level)
        columns.append(both.flatten(1).sum(1) / either.flatten(1).sum(1).clamp(min=1))
    found = torch.stack(columns, 1)
    return torch.where(found[:, :1].isnan(), torch.nan, found)  # a map that is missing


def detect(
    clean: Float[Tensor, "picture number"],
    attacked: Float[Tensor, "picture number"],
    *,
    share: float = 0.5,
    splits: int = 20,
    seed: int = 0,
) -> Detection:
    """Fit the detector on part of the pictures and try it on the rest, in `splits` seeded ways.

    clean, attacked: `disagreements` of the same pictures, row by row; a picture and its attacked
    twin always stand on the same side of a split. Pictures that lack a number are left out. share:
    of the pictures that are held out.
    """
    if clean.shape == attacked.shape:
        whole = torch.isfinite(clean + attacked).all(1)
        clean, attacked = clean[whole], attacked[whole]
    if clean.shape != attacked.shape or len(clean) < 4:
        raise BadField(
            "the detector needs at least 4 pictures, each clean and attacked; got"
            f" {tuple(clean.shape)} and {tuple(attacked.shape)}."
        )
    if not 0 < share < 1 or splits < 1:
        raise BadField(f"share is between 0 and 1, splits at least 1; got {share}, {splits}.")
    count = min(max(round(share * len(clean)), 2), len(clean) - 2)
    dice = np.random.default_rng(seed)
    orders = [dice.permutation(len(clean)) for _ in range(splits)]
    numbers = (clean.numpy(), attacked.numpy())
    areas = [_area(numbers, order[count:], order[:count]) for order in orders]
    return Detection(
        auc=float(np.mean(areas)),
        spread=float(np.std(areas)),
        pictures=len(clean),
        held_out=count,
    )


def _area(numbers: tuple[np.ndarray, ...], seen: np.ndarray, held: np.ndarray) -> float:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def taken(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = np.concatenate([each[rows] for each in numbers])
        return found, np.repeat([0, 1], len(rows))

    judge = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    judge.fit(*taken(seen))
    features, truth = taken(held)
    return float(roc_auc_score(truth, judge.predict_proba(features)[:, 1]))


def fewer_bits(images: Images, bits: int = 4) -> Images:
    """`images` in 2^bits levels."""
    top = 2**bits - 1
    return (images * top).round() / top


def median(images: Images, side: int = 3) -> Images:
    """The median of each colour in a window of `side` x `side` pixels."""
    half = side // 2
    padded = functional.pad(images, (half, half, half, half), mode="replicate")
    windows = padded.unfold(2, side, 1).unfold(3, side, 1)
    return windows.flatten(4).median(4).values


def jpeg(images: Images, quality: int = 75) -> Images:
    """`images` written as JPEG and read again; three colours or one."""
    found = []
    for image in images:
        levels = (image.detach().cpu().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
        stream = BytesIO()
        Image.fromarray(levels.squeeze()).save(stream, "JPEG", quality=quality)
        back = np.atleast_3d(np.asarray(Image.open(stream), dtype=np.float32)) / 255
        found.append(torch.from_numpy(back).permute(2, 0, 1))
    return torch.stack(found).to(images)


def blurred(images: Images, sigma: float = 1.0) -> Images:
    """`images` under a small Gaussian blur."""
    return gaussian_blur(images, 2 * round(3 * sigma) + 1, sigma)


TRANSFORMATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "4 bits": fewer_bits,
    "median 3": median,
    "JPEG 75": jpeg,
    "blur 1": blurred,
}


@dataclass(frozen=True, kw_only=True)
class Undone:
    """What a transformation does to clean and attacked pictures, as shares and rank correlations.

    right: clean pictures that keep their class. fooled: attacked ones that still show the class of
    the attack. back: attacked ones that show the clean picture's class again. steady, shaken: how
    alike the map is before and after the transformation, on clean and on attacked pictures.
    """

    right: float
    fooled: float
    back: float
    steady: float
    shaken: float


def undo(
    model: Model,
    images: Images,
    fooled: Images,
    change: Callable[[Images], Images],
    explainer: Explainer | None = None,
) -> Undone:
    """How a transformation of the input changes what the model and the explainer say."""
    own, led = (model.outputs(x).argmax(1) for x in (images, fooled))
    now, late = (model.outputs(change(x)).argmax(1) for x in (images, fooled))
    steady = shaken = float("nan")
    if explainer is not None:
        steady = _likeness(model, explainer, images, change(images), own)
        shaken = _likeness(model, explainer, fooled, change(fooled), led)
    return Undone(
        right=(now == own).double().mean().item(),
        fooled=(late == led).double().mean().item(),
        back=(late == own).double().mean().item(),
        steady=steady,
        shaken=shaken,
    )


def _likeness(
    model: Model, explainer: Explainer, images: Tensor, others: Tensor, classes: Tensor
) -> float:
    maps = [explainer(model, x, classes.tolist()) for x in (images, others)]
    a, b = (heat.values.cpu() for heat in maps if isinstance(heat, Heatmap))
    return spearman(a, b).nanmean().item()
