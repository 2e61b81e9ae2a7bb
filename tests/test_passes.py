"""Passes through a network: shared on every device, counted for who caused them."""

from pathlib import Path

import pytest
import torch
from PIL import Image

import sightline as sl
from sightline import Model
from sightline.worlds.miniatures import MINIATURES

CAMS = ["grad-cam", "hires-cam", "layer-cam"]


def small() -> Model:
    mini = MINIATURES["pooled-cnn"]
    return Model(mini(), sl.Preprocess(mini.size), labels=list("abcde"))


def pictures(count: int) -> torch.Tensor:
    size = MINIATURES["pooled-cnn"].size
    return torch.rand((count, 3, *size), generator=torch.Generator().manual_seed(0))


# shared where moving a tensor copies it


def far(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device whose `.to()` copies, as that of every accelerator does: `cpu:0` is not `cpu`."""
    monkeypatch.setattr(Model, "device", property(lambda model: torch.device("cpu:0")))
    here = torch.zeros(1)
    assert here.to(small().device) is not here


@pytest.mark.parametrize("count", [2, 17])  # in one batch, and in two
def test_methods_share_a_forward_where_moving_copies(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    far(monkeypatch)
    model = small()
    found = sl.explain(model, pictures(count), method=CAMS)
    spent = [heat.provenance["evaluations"]["forward"] for heat in found]
    assert spent == [count, 0, 0]
    assert model.evaluations == {"forward": count, "backward": count, "copies": 0}


def test_evaluate_shares_a_forward_where_moving_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, spent = tmp_path / "pictures", []
    data.mkdir()
    Image.new("RGB", (32, 32), (200, 60, 90)).save(data / "one.png")
    for name in ("near", "far"):
        model, out = small(), tmp_path / name
        rest = {"stability": False, "workers": 1, "cache": False}
        sl.evaluate(model, data, CAMS, ["evaluations"], out, **rest)
        spent.append(model.evaluations)
        far(monkeypatch)
    assert spent[0] == spent[1]
