"""A box and a region of torchvision's networks with random weights: the contract, not the place."""

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close
from torchvision.models.detection import ssdlite320_mobilenet_v3_large
from torchvision.models.segmentation import lraspp_mobilenet_v3_large

from sightline import Box, Model, Region, create

pytestmark = pytest.mark.filterwarnings("ignore:.*no evidence for the target is positive")


def settled(net: nn.Module, images: Tensor) -> nn.Module:
    """Batch norms know these pictures; those of the first day let the signal die out."""
    net.eval()
    norms = [part for part in net.modules() if isinstance(part, nn.BatchNorm2d)]
    for part in norms:
        part.train().momentum = 1.0
    with torch.no_grad():
        net(images)
    return net.eval()


def test_a_box_of_a_detector() -> None:
    images = torch.rand(2, 3, 320, 320)
    net = ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=3, detections_per_img=20
    )
    model = Model(settled(net, images), size=(320, 320))
    with torch.no_grad():
        found = net(images)
    best = [one["scores"].argmax() for one in found]
    targets = [
        Box(tuple(one["boxes"][i].tolist()), int(one["labels"][i]))
        for one, i in zip(found, best, strict=True)
    ]
    explain = create("explainer", "grad-cam", layer="backbone.features.0")
    heat = explain(model, images, targets)
    assert heat.native.shape == (2, 20, 20)
    scores = torch.stack([one["scores"][i] for one, i in zip(found, best, strict=True)])
    assert_close(torch.tensor(heat.provenance["score"]), scores, atol=1e-4, rtol=1e-3)
    alone = explain(model, images[1:], targets[1])
    assert_close(alone.native[0], heat.native[1], atol=1e-6, rtol=1e-2)


def test_a_region_of_a_segmenter() -> None:
    images, masks = torch.rand(2, 3, 96, 96), torch.zeros(2, 96, 96)
    masks[0, :48, :48] = masks[1, 48:, 48:] = 1
    net = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=4)
    model = Model(settled(net, images), size=(96, 96), output=lambda returned: returned["out"])
    explain = create("explainer", "hires-cam", layer="backbone.12")
    one, other = (explain(model, images, Region(mask, 2)).native for mask in masks)
    assert one.shape == (2, 6, 6) and not torch.allclose(one, other)
    both = explain(model, images, Region(masks.sum(0), 2)).native
    assert_close((one + other) / 2, both, atol=1e-6, rtol=1e-3)
    score = explain(model, images, Region(masks[1], 2)).provenance["score"]
    with torch.no_grad():
        assert_close(torch.tensor(score), net(images)["out"][:, 2, 48:, 48:].mean((1, 2)))
