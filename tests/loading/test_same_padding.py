"""SAME padding is TensorFlow's, whatever the size, and costs a network nothing but its padding."""

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from timm.layers import Conv2dSame
from torch import nn
from torch.nn import functional
from torchvision import models

import sightline as sl
from sightline.errors import BadModel
from sightline.loading.same_padding import SamePadConv2d, pad_same

SIDES = st.integers(5, 30)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(5, 30), st.integers(5, 30), st.integers(2, 7), st.integers(2, 3), st.integers(1, 2)
)
def test_it_is_the_padding_of_timm(rows, cols, kernel, stride, dilation):
    net = nn.Sequential(nn.Conv2d(2, 3, kernel, stride, 1, dilation))
    theirs = Conv2dSame(2, 3, kernel, stride, dilation=dilation)
    theirs.load_state_dict(net[0].state_dict())
    pad_same(net)
    images = torch.rand(1, 2, rows, cols)
    torch.testing.assert_close(net(images), theirs(images))


def test_at_even_sizes_three_by_three_is_padded_at_the_bottom_and_the_right():
    conv = nn.Conv2d(1, 1, 3, 2, 1, bias=False)
    net = nn.Sequential(conv)
    weight = conv.weight
    assert pad_same(net) == ["0"] and net[0].weight is weight
    images = torch.rand(1, 1, 8, 6)
    expected = functional.conv2d(functional.pad(images, (0, 1, 0, 1)), weight, stride=2)
    torch.testing.assert_close(net(images), expected)


def test_names_and_weights_stay_and_only_strided_overlapping_convolutions_change():
    net = models.mobilenet_v2(weights=None)
    before = dict(net.state_dict())
    changed = pad_same(net)
    assert changed == ["features.0.0", *(f"features.{i}.conv.1.0" for i in (2, 4, 7, 14))]
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in net.modules())
    patches = nn.Sequential(nn.Conv2d(3, 8, 16, 16), nn.Conv2d(8, 8, 1, 2), nn.Conv2d(8, 8, 3))
    assert pad_same(patches) == []


def test_a_convolution_of_another_kind_is_refused():
    class Own(nn.Conv2d):
        pass

    for conv in (Own(3, 3, 3, 2), nn.Conv2d(3, 3, 3, 2, 1, padding_mode="reflect")):
        with pytest.raises(BadModel, match="cannot replace layer 0"):
            pad_same(nn.Sequential(conv))


@pytest.mark.parametrize("arch", ["mobilenetv3_small_050", "resnet10t"])
def test_timm_builders_are_padded_whether_they_know_the_word_or_not(tmp_path, arch):
    net = timm.create_model(arch, num_classes=5)
    save_file(net.state_dict(), tmp_path / "w.safetensors")
    spec = f"file:{tmp_path / 'w.safetensors'}?arch=timm:{arch}&num_classes=5"
    same, plain = sl.load(f"{spec}&pad_type=same"), sl.load(spec)
    strided = [
        m
        for m in same.module.modules()
        if isinstance(m, nn.Conv2d) and m.kernel_size[0] > m.stride[0] > 1
    ]
    assert strided and all(isinstance(m, SamePadConv2d | Conv2dSame) for m in strided)
    images = torch.rand(1, 3, 64, 64)
    ours, theirs = same.module(images), plain.module(images)
    assert ours.shape == theirs.shape == (1, 5) and not torch.allclose(ours, theirs)
