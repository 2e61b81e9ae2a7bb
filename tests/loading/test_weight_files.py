"""A file of weights becomes a network only where all of it fits; nothing in it is ever run."""

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models

import sightline as sl
from sightline.errors import BadField, BadModel, UnknownName
from sightline.loading.class_names import read_class_names
from sightline.pictures.preprocess import Preprocess

SMALL = "torchvision:squeezenet1_1"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return models.squeezenet1_1(weights=None).state_dict()


@pytest.fixture
def saved(tmp_path: Path, weights: dict[str, torch.Tensor]) -> Path:
    save_file({name: t.half() for name, t in weights.items()}, tmp_path / "w.safetensors")
    return tmp_path / "w.safetensors"


def test_half_precision_weights_are_read_into_single(saved, weights):
    model = sl.load(f"file:{saved}?arch={SMALL}")
    for name, value in model.module.state_dict().items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, weights[name].half().float(), rtol=0, atol=0)
    assert model.preprocess.resize == 256 and model.labels[0] == "tench"


def renamed(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda tensors: tensors,
        lambda tensors: {"state_dict": tensors, "epoch": 3},
        lambda tensors: {"model": renamed("module.", tensors)},
        lambda tensors: {"model": {"state_dict": renamed("_orig_mod.module.", tensors)}},
    ],
)
def test_pytorch_checkpoints_are_unwrapped(tmp_path, weights, wrap):
    torch.save(wrap(weights), tmp_path / "w.pth")
    module = sl.load(f"file:{tmp_path / 'w.pth'}?arch={SMALL}").module
    assert all(torch.equal(value, weights[name]) for name, value in module.state_dict().items())


class Harmful:
    def __reduce__(self):
        return Path.touch, (Path("harm-was-done"),)


def test_code_in_a_checkpoint_is_never_run(tmp_path, monkeypatch, weights):
    monkeypatch.chdir(tmp_path)
    for name, held in (("code.pt", {"a": Harmful()}), ("module.pt", nn.Linear(2, 2))):
        torch.save(held, tmp_path / name)
        with pytest.raises(BadModel, match="never run"):
            sl.load(f"file:{tmp_path / name}?arch={SMALL}")
    torch.save(held, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(BadModel, match="never run"):
        sl.load(f"file:{tmp_path / 'old.pt'}?arch={SMALL}")
    assert not (tmp_path / "harm-was-done").exists()


def test_files_that_hold_no_weights_are_refused(tmp_path, saved):
    data = saved.read_bytes()
    torch.save({"best": 0.9, "args": [1, 2]}, tmp_path / "numbers.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    save_file({}, tmp_path / "nothing.safetensors")
    cases = {
        "cut.safetensors": (data[: len(data) // 2], "truncated or broken"),
        "text.safetensors": (b"not weights at all", "neither"),
        "empty.safetensors": (b"", "neither"),
        "zip.pt": (b"PK\x03\x04 and nothing", "truncated or broken"),
        "numbers.pt": (None, "no named tensors"),
        "list.pt": (None, "expected named tensors"),
        "nothing.safetensors": (None, "no named tensors"),
        "missing.safetensors": (None, "no such file"),
        ".": (None, "folder"),
    }
    for name, (content, words) in cases.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(BadModel, match=words):
            sl.load(f"file:{tmp_path / name}?arch={SMALL}")


def test_a_file_without_arch_asks_for_it(saved):
    with pytest.raises(BadModel, match=r"\?arch=timm:NAME"):
        sl.load(f"file:{saved}")
    with pytest.raises(UnknownName, match="did you mean"):
        sl.load(f"file:{saved}?arch=resnet18")
    with pytest.raises(BadField, match="pretrained"):
        sl.load(f"file:{saved}?arch={SMALL}", pretrained=False)


def test_names_and_shapes_that_do_not_fit_are_listed(tmp_path, weights):
    odd = dict(weights)
    odd["extra.weight"] = odd.pop("features.0.weight")
    odd["features.0.bias"] = torch.zeros(7)
    save_file(odd, tmp_path / "odd.safetensors")
    with pytest.raises(BadModel) as caught:
        sl.load(f"file:{tmp_path / 'odd.safetensors'}?arch={SMALL}")
    for words in ("1 missing (features.0.weight)", "1 unexpected (extra.weight)",
                  "features.0.bias (7,) instead of (64,)", "of 52 tensors"):  # fmt: skip
        assert words in str(caught.value)
    with pytest.raises(BadModel, match=r"missing \(bn1.bias, bn1.running_mean, "):
        sl.load(f"file:{tmp_path / 'odd.safetensors'}?arch=torchvision:resnet18")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(tmp_path, weights, bad):
    odd = {name: t.clone() for name, t in weights.items()}
    odd["classifier.1.bias"][3] = bad
    save_file(odd, tmp_path / "odd.safetensors")
    with pytest.raises(BadModel, match=r"classifier.1.bias holds NaN or infinity \(1 of 1000"):
        sl.load(f"file:{tmp_path / 'odd.safetensors'}?arch={SMALL}")


def test_whole_numbers_in_the_place_of_weights_are_refused(tmp_path, weights):
    save_file({n: t.to(torch.int8) for n, t in weights.items()}, tmp_path / "int8.safetensors")
    with pytest.raises(BadModel, match="of another kind"):
        sl.load(f"file:{tmp_path / 'int8.safetensors'}?arch={SMALL}")


SEVEN = {
    SMALL: lambda: models.squeezenet1_1(num_classes=7),
    "torchvision:mobilenet_v2": lambda: models.mobilenet_v2(num_classes=7),
    "timm:mobilenetv3_small_050": lambda: timm.create_model("mobilenetv3_small_050", num_classes=7),
}


@pytest.mark.parametrize("arch", SEVEN)
def test_the_number_of_classes_is_read_off_the_classifier(tmp_path, arch):
    net = SEVEN[arch]()
    save_file(net.state_dict(), tmp_path / "seven.safetensors")
    (tmp_path / "labels.txt").write_text("\n".join("abcdefg") + "\n")
    model = sl.load(f"file:{tmp_path / 'seven.safetensors'}?arch={arch}")
    assert model.labels is None
    assert model.module(torch.zeros(1, 3, 96, 96)).shape == (1, 7)
    spec = f"file:{tmp_path / 'seven.safetensors'}?arch={arch}&num_classes=7&labels="
    assert sl.load(spec + str(tmp_path / "labels.txt")).labels == list("abcdefg")
    with pytest.raises(BadModel, match=r"6 labels, but .* has 7 classes"):
        (tmp_path / "six.txt").write_text("\n".join("abcdef"))
        sl.load(spec + str(tmp_path / "six.txt"))


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("a\nb\nc\n", ["a", "b", "c"]),
        ("tench, Tinca\ngoldfish, Carassius", ["tench, Tinca", "goldfish, Carassius"]),
        ("0,a\n1,b\n", ["a", "b"]),
        ("1,b\n0,a\n", ["a", "b"]),
        ("index,label\n0,a\n1,b\n\n", ["a", "b"]),
        ('index,wnid,words,simple_label\n0,n0,"x, y",x\n1,n1,z,z1\n', ["x", "z1"]),
        ("name,index\na,0\nb,1\n", ["a", "b"]),
        ("\ufeff0, a\n1, b", ["a", "b"]),
    ],
)
def test_labels_are_read_one_a_line_or_as_csv(tmp_path, text, labels):
    (tmp_path / "l.csv").write_text(text)
    assert read_class_names(tmp_path / "l.csv") == labels


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("0,a\n2,b\n", "index 1 is missing"),
        ("0,a\n0,b\n", "appears twice"),
        ("index,colour\n0,red\n", "none of its 2 columns is called label"),
        ("index,label\nx,red\n", "no index"),
    ],
)
def test_broken_labels_say_what_is_wrong(tmp_path, text, words):
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(BadModel, match=words):
        read_class_names(tmp_path / "l.csv")
    with pytest.raises(BadModel, match="cannot be read"):
        read_class_names(tmp_path / "missing.txt")


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("mean=0.5&std=0.25", {"mean": 0.5, "std": 0.25}),
        ("mean=0.1,0.2,0.3&std=[1,2,3]", {"mean": (0.1, 0.2, 0.3), "std": (1, 2, 3)}),
        ("size=112", {"size": 112, "resize": 128}),
        ("size=192&crop=0.75", {"size": 192}),
        ("size=256&crop=224", {}),
        ("crop=200", {"size": 200}),
        ("crop=1.0", {"resize": 224}),
        ("crop=1.14", {"resize": 196}),
        ("size=288&crop=1.14", {"size": (288, 288), "resize": 252}),
        ("crop=center", {"resize": 224}),
        ("crop=none&size=96x128", {"size": (96, 128), "crop": None, "resize": None}),
    ],
)
def test_preprocessing_can_be_given_beside_the_file(saved, keys, expected):
    normal = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    wanted = Preprocess(**{"size": 224, "resize": 256, **normal, **expected})
    assert sl.load(f"file:{saved}?arch={SMALL}&{keys}").preprocess == wanted


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("mean=grey", "expected a number"),
        ("size=0", "expected a number of pixels"),
        ("size=200&crop=224", "larger than size"),
        ("pad_type=valid", "expected same"),
        ("weights='DEFAULT'", "the weights are the file's own"),
        ("colour=3", "does not take"),
        ("mean", "key=value"),
        ("mean=1&mean=2", "each key once"),
    ],
)
def test_keys_that_make_no_sense_are_refused(saved, keys, words):
    with pytest.raises(BadField, match=words):
        sl.load(f"file:{saved}?arch={SMALL}&{keys}")


def test_a_transformer_is_built_for_the_size_that_is_asked_for(tmp_path):
    net = timm.create_model("deit_tiny_patch16_224", img_size=96, depth=2)
    save_file(net.state_dict(), tmp_path / "w.safetensors")
    for size in ("size=96", "img_size=96", "size=128&crop=96"):
        model = sl.load(
            f"file:{tmp_path / 'w.safetensors'}?arch=timm:deit_tiny_patch16_224&depth=2&{size}"
        )
        assert model.size == (96, 96)
        assert model.module(torch.zeros(1, 3, 96, 96)).shape == (1, 1000)
