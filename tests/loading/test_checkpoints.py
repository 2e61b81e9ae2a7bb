"""Checkpoints as training leaves them: the same outputs as the network that was saved, or the name
of what does not fit; what was stripped or left out is said."""

import argparse
import copy
import pathlib
import warnings
from collections import OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torchvision import models

import sightline as sl
from sightline.errors import BadModel, SightlineWarning

SMALL = "torchvision:squeezenet1_1"
Tensors = dict[str, torch.Tensor]


def network(seed: int = 5) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return models.squeezenet1_1(weights=None, num_classes=4).eval()


NET = network()
PICTURES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def prefixed(prefix: str, tensors: Tensors) -> Tensors:
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def other(tensors: Tensors) -> Tensors:
    return {name: tensor + 1 for name, tensor in tensors.items()}


def inside(net: nn.Module) -> Tensors:
    """The state of a network of which a part ran in `DataParallel`."""
    wrapped = copy.deepcopy(net)
    wrapped.features = nn.DataParallel(wrapped.features)
    return wrapped.state_dict()


def training(net: nn.Module) -> dict:
    """What a training script keeps besides the weights."""
    optimiser = torch.optim.Adam(net.parameters())
    kept = {"epoch": 3, "optimizer": optimiser.state_dict(), "args": argparse.Namespace(lr=0.1)}
    return {**kept, "best": np.float64(0.9), "out": pathlib.Path("a"), "log": defaultdict(list)}


def as_saved() -> dict[str, tuple[dict, str]]:
    """Name -> what lies in the file, and what must be said about it."""
    own, average = NET.state_dict(), AveragedModel(NET)
    both = {**prefixed("net.", own), **prefixed("net_ema.module.", other(own))}
    lightning = {**prefixed("model.", own), "criterion.weight": torch.ones(4)}
    return {
        "imagenet": ({"state_dict": own, "best_acc1": torch.tensor(71.3)}, "state_dict"),
        "epoch": ({"model": own, **training(NET)}, "'model'"),
        "deep": ({"a": {"b": {"net": own}}}, "'a.b.net'"),
        "ema beside": ({"model": own, "model_ema": other(own)}, "not the averaged ones"),
        "timm": ({"state_dict": own, "state_dict_ema": other(own)}, "&key=state_dict_ema"),
        "ema alone": ({"ema": own}, "running means"),
        "swa": (average.state_dict(), "n_averaged"),
        "lightning": ({"state_dict": lightning, "version": "2.5"}, "criterion.weight"),
        "lightning ema": ({"state_dict": both}, "net_ema"),
        "net": (prefixed("net.", own), "'net'"),
        "backbone": (prefixed("backbone.", own), "'backbone'"),
        "any prefix": (prefixed("a.quite.long.one.", own), "'a.quite.long.one'"),
        "compiled": (prefixed("model._orig_mod.", own), "'_orig_mod'"),
        "compiled parallel": (prefixed("_orig_mod.module.", own), "'module and _orig_mod'"),
        "parallel inside": (inside(NET), "'module'"),
        "parallel in parallel": (prefixed("module.", inside(NET)), "'module'"),
        "twice": ({"model": own, "state_dict": own}, "'model'"),
        "counted": ({**own, "n_averaged": torch.tensor(3)}, "n_averaged"),
        "loss": (prefixed("net.", own) | {"loss.centers": torch.ones(4, 9)}, "loss.centers"),
        "ordered": (OrderedDict(prefixed("module.", own)), "'module'"),
    }  # fmt: skip


@pytest.mark.parametrize("name", as_saved())
def test_checkpoints_give_the_outputs_of_the_network_that_was_saved(tmp_path, name, caplog):
    held, said = as_saved()[name]
    torch.save(held, tmp_path / "w.pth")
    with caplog.at_level("INFO"):
        model = sl.load(f"file:{tmp_path / 'w.pth'}?arch={SMALL}")
    torch.testing.assert_close(model.module(PICTURES), NET(PICTURES), rtol=0, atol=0)
    assert said in " ".join(model.notes) and said in caplog.text


def test_safetensors_with_a_prefix_give_the_same(tmp_path):
    save_file(prefixed("net._orig_mod.", NET.state_dict()), tmp_path / "w.safetensors")
    model = sl.load(f"file:{tmp_path / 'w.safetensors'}?arch={SMALL}")
    torch.testing.assert_close(model.module(PICTURES), NET(PICTURES), rtol=0, atol=0)


def test_key_takes_the_averaged_weights(tmp_path):
    second = network(6)
    torch.save({"model": NET.state_dict(), "model_ema": second.state_dict()}, tmp_path / "w.pth")
    model = sl.load(f"file:{tmp_path / 'w.pth'}?arch={SMALL}&key=model_ema")
    torch.testing.assert_close(model.module(PICTURES), second(PICTURES), rtol=0, atol=0)
    flat = prefixed("net.", NET.state_dict()) | prefixed("ema_net.", second.state_dict())
    torch.save(flat, tmp_path / "flat.pth")
    model = sl.load(f"file:{tmp_path / 'flat.pth'}?arch={SMALL}&key=ema_net")
    torch.testing.assert_close(model.module(PICTURES), second(PICTURES), rtol=0, atol=0)
    with pytest.raises(BadModel, match=r"key=teacher.*model_ema"):
        sl.load(f"file:{tmp_path / 'w.pth'}?arch={SMALL}&key=teacher")


def test_of_several_networks_none_is_guessed(tmp_path):
    own = NET.state_dict()
    torch.save({"student": own, "teacher": other(own)}, tmp_path / "w.pth")
    with pytest.raises(BadModel, match=r"2 networks that fit: 'student', 'teacher'.*&key=student"):
        sl.load(f"file:{tmp_path / 'w.pth'}?arch={SMALL}")
    model = sl.load(f"file:{tmp_path / 'w.pth'}?arch={SMALL}&key=student")
    torch.testing.assert_close(model.module(PICTURES), NET(PICTURES), rtol=0, atol=0)


def test_most_of_a_network_is_no_load_and_the_error_names_prefix_and_key(tmp_path):
    own = prefixed("net.", NET.state_dict())
    lacking = {n: t for n, t in own.items() if "features.12" not in n}
    torch.save({"state_dict": lacking}, tmp_path / "w.pth")
    with pytest.raises(BadModel, match=r"'state_dict.net' 6 missing \(features.12.expand1x1.bias"):
        sl.load(f"file:{tmp_path / 'w.pth'}?arch={SMALL}")
    torch.save(own | {"net.extra.weight": torch.ones(2, 2)}, tmp_path / "w.pth")
    with pytest.raises(BadModel, match=r"under 'net' 1 unexpected \(extra.weight\)"):
        sl.load(f"file:{tmp_path / 'w.pth'}?arch={SMALL}")
    torch.save(
        {"state_dict": {**NET.state_dict(), "temperature": torch.ones(1)}}, tmp_path / "w.pth"
    )
    with pytest.raises(BadModel, match=r"1 unexpected \(temperature\)"):
        sl.load(f"file:{tmp_path / 'w.pth'}?arch={SMALL}")


def test_layers_beside_the_network_are_warned_about(tmp_path):
    torch.save(prefixed("backbone.", NET.state_dict()) | {"head.weight": torch.ones(2, 4)},
               tmp_path / "w.pth")  # fmt: skip
    with pytest.warns(SightlineWarning, match=r"has layers that .*head.weight"):
        sl.load(f"file:{tmp_path / 'w.pth'}?arch={SMALL}")


def test_channels_and_classes_are_read_off_the_weights(tmp_path):
    net = timm.create_model("resnet18", in_chans=5, num_classes=7).eval()
    torch.save({"state_dict_ema": prefixed("module.", net.state_dict())}, tmp_path / "w.pth")
    spec = f"file:{tmp_path / 'w.pth'}?arch=timm:resnet18"
    five = ",".join(["0.5"] * 5)
    model = sl.load(f"{spec}&mean={five}&std={five}&size=64")
    assert {"num_classes=7", "in_chans=5"} == {n.partition(",")[0] for n in model.notes[:2]}
    pictures = torch.rand(1, 5, 64, 64)
    torch.testing.assert_close(model.module(pictures), net(pictures), rtol=0, atol=0)
    assert model.preprocess.channels == 5 and sl.load(spec).preprocess is None
    wide = models.resnet18(num_classes=7)
    wide.conv1 = nn.Conv2d(5, 64, 7, 2, 3, bias=False)
    torch.save(wide.state_dict(), tmp_path / "wide.pth")
    with pytest.raises(BadModel, match=r"conv1.weight \(64, 5, 7, 7\) instead of \(64, 3, 7, 7\)"):
        sl.load(f"file:{tmp_path / 'wide.pth'}?arch=torchvision:resnet18")


def test_an_error_holds_no_bytes_of_the_file_and_its_name_as_it_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    secret = b"secret-of-the-file " * 9
    for name, start in (("a.pt", b""), ("b.pt", b"PK\x03\x04"), ("c.pt", b"\x80\x02"),
                        ("d.safetensors", bytes([16, *[0] * 7]) + b"{"),
                        ("e.txt", b"\x89HDF\r\n\x1a\n")):  # fmt: skip
        Path(name).write_bytes(start + secret)
        with pytest.raises(BadModel) as caught:
            sl.load(f"file:{name}?arch={SMALL}")
        assert str(caught.value).startswith(name)
        assert "secret" not in str(caught.value) and str(tmp_path) not in str(caught.value)
    assert "HDF5" in str(caught.value)
    torch.save(NET.state_dict(), "w.pt")
    Path("l.csv").write_text("index,secret\n0,secret\n")
    with pytest.raises(BadModel) as caught:
        sl.load(f"file:w.pt?arch={SMALL}&labels=l.csv")
    assert "l.csv" in str(caught.value) and "secret" not in str(caught.value)


def test_a_scripted_archive_is_named(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch's own, on newer versions
        torch.jit.save(torch.jit.trace(nn.Flatten(), PICTURES), tmp_path / "w.pt")
    with pytest.raises(BadModel, match=r"TorchScript.*torch.jit.load"):
        sl.load(f"file:{tmp_path / 'w.pt'}?arch={SMALL}")
