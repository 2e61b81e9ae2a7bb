"""Names and values as people read them: no folders of a machine, no addresses in memory."""

import functools
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from sightline import Class, Model, explain
from sightline.files.display import display_name, displayed, without_folders


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("timm:resnet18.a1_in1k", "timm:resnet18.a1_in1k"),
        ("timm:resnet18 (random weights, seed 0)", "timm:resnet18 (random weights, seed 0)"),
        ("hf:google/vit-base-patch16-224", "hf:google/vit-base-patch16-224"),
        ("hf:/home/me/nets/vit", "hf:vit"),
        ("sightline:default", "sightline:default"),
        ("file:/a/b c/net.safetensors?arch=timm:x", "file:net.safetensors?arch=timm:x"),
        ("file:nets/net.pt?arch=timm:x&mean=0.5,0.5", "file:net.pt?arch=timm:x&mean=0.5,0.5"),
        (r"file:C:\nets\net.pt?arch=timm:x", "file:net.pt?arch=timm:x"),
        ("file:/a/why?/net.pt?arch=timm:hf-hub:me/x", "file:net.pt?arch=timm:hf-hub:me/x"),
        ("file:n.pt?arch=timm:x&labels=%2Fa%2Fb.csv", "file:n.pt?arch=timm:x&labels=b.csv"),
        ("attributes:/a/b/heads", "attributes:heads"),
        ("/home/me/net.pt", "net.pt"),
        ("my network 1/2", "my network 1/2"),
    ],
)
def test_a_name_is_shown_without_folders(name: str, shown: str) -> None:
    assert display_name(name) == shown
    assert Model(nn.Identity(), name=name).display_name == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("read from /home/me/a.png, and b/c", "read from a.png, and b/c"),
        ("1/2 of https://example.org/a/b", "1/2 of https://example.org/a/b"),
        ("x='~/nets/a.pt'", "x='a.pt'"),
    ],
)
def test_absolute_paths_in_a_text_lose_their_folders(text: str, shown: str) -> None:
    assert without_folders(text) == shown


def _fill(images: torch.Tensor) -> torch.Tensor:
    return images * 0


def test_functions_and_objects_are_named_without_an_address() -> None:
    held = {"a": _fill, "b": functools.partial(_fill), "c": object(), "d": Path("/x/y.npy")}
    module = _fill.__module__
    assert displayed(held) == {
        "a": f"{module}._fill",
        "b": f"functools.partial({module}._fill)",
        "c": "<object object>",
        "d": "y.npy",
    }
    assert displayed([1, 0.5, None, True, ("a", 2)]) == [1, 0.5, None, True, ["a", 2]]


def test_the_provenance_holds_neither_folders_nor_addresses() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    model = Model(net, preprocess=lambda p: torch.ones(3, 2, 2), name="file:/secret/n.pt?arch=t:x")
    heat = explain(model, torch.ones(1, 3, 2, 2), "gradient", Class(1))
    told = json.dumps(heat.provenance)
    assert heat.provenance["model"] == "file:n.pt?arch=t:x"
    assert "secret" not in told and " at 0x" not in told
    assert "test_the_provenance_holds" in heat.provenance["preprocessing"]
    assert "/secret" not in repr(model) + repr(heat)
