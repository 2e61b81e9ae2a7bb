"""Every name of a network gives a model with its preprocessing and labels, or one clear error."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

import sightline as sl
from sightline.errors import BadModel, MissingExtra, SightlineError, UnknownName
from sightline.loading.builders import LIBRARIES
from sightline.nets import default
from sightline.pictures.preprocess import Preprocess

SMALL = "torchvision:squeezenet1_1"


def test_a_torchvision_name_brings_preprocessing_and_labels():
    model = sl.load(SMALL, pretrained=False)
    assert model.preprocess == Preprocess(
        size=224, resize=256, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    )
    assert model.labels[:2] == ["tench", "goldfish"] and len(model.labels) == 1000
    assert "random" in model.name and not model.module.training
    assert sl.load("torchvision:resnet18.IMAGENET1K_V1", pretrained=False).size == (224, 224)


def test_a_network_built_for_one_size_has_that_of_its_preprocessing():
    with torch.device("meta"):  # built, not filled: the network is large
        net = LIBRARIES["torchvision"].build("vit_b_16.IMAGENET1K_SWAG_E2E_V1", False, {})
    assert net.image_size == 384


def test_a_timm_name_brings_its_own_preprocessing():
    model = sl.load("timm:vit_tiny_patch16_224", pretrained=False)
    cfg = timm.get_pretrained_cfg("vit_tiny_patch16_224")
    assert model.preprocess.mean == cfg.mean == (0.5, 0.5, 0.5)
    assert model.preprocess.interpolation == "bicubic"
    assert model.preprocess.resize == int(224 / cfg.crop_pct)
    assert model.labels[1] == "goldfish"
    tag = sl.load("timm:resnet18.tv_in1k", pretrained=False)
    assert tag.preprocess.interpolation == "bilinear" and tag.preprocess.resize == 256


def test_the_class_names_of_larger_sets_are_known_too():
    model = sl.load("timm:mobilenetv3_small_100", pretrained=False)
    assert len(model.labels) == 1000
    big = sl.load("timm:vit_tiny_patch16_224.augreg_in21k", pretrained=False)
    assert len(big.labels) == 21843


def test_random_weights_are_the_same_each_time_and_no_random_state_moves():
    torch.manual_seed(11)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    first = sl.load(SMALL, pretrained=False).module.state_dict()
    assert torch.equal(before[0], torch.get_rng_state())
    torch.rand(3)
    second = sl.load(SMALL, pretrained=False).module.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert before[1] == np.random.get_state()[1].tolist()


def test_the_random_state_stays_when_loading_fails():
    before = torch.get_rng_state()
    with pytest.raises(SightlineError):
        sl.load("torchvision:vit_b_77")
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resnet50", "'timm:resnet50' or 'torchvision:resnet50'"),
        ("vit_b_16", "'torchvision:vit_b_16'"),
        ("resent50", "did you mean 'timm:"),
        ("default", "'sightline:default'"),
        ("keras:resnet50", "did you mean 'timm:resnet50'"),
        ("timm:resnet500", "did you mean"),
        ("timm:resnet18.nobody", "has no weights 'nobody'"),
        ("torchvision:resnet5", "did you mean"),
        ("torchvision:fcn_resnet50", "Other networks are wrapped by hand"),
        ("torchvision:resnet18.V9", "has no weights 'V9'"),
        ("sightline:defualt", "did you mean 'default'"),
        ("timm:", "Expected timm:NAME"),
        ("", "Expected timm:NAME"),
    ],
)
def test_a_wrong_name_gets_near_names(name, words):
    with pytest.raises(UnknownName, match=words):
        sl.load(name)


def test_a_path_without_the_word_file_is_recognised(tmp_path):
    saved = tmp_path / "w.safetensors"
    saved.touch()
    with pytest.raises(UnknownName, match=r"did you mean 'file:.*\?arch="):
        sl.load(str(saved))


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr("socket.getaddrinfo", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in (
        "http_proxy",
        "https_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", ["timm:resnet18", SMALL, "hf:timm/resnet18.a1_in1k", "hf:a/b"])
def test_without_a_network_the_error_says_how_to_give_a_local_file(name):
    if name == "hf:a/b":
        pytest.importorskip("transformers")
    with pytest.raises(BadModel, match=r"could not be fetched[\s\S]*file:PATH\?arch="):
        sl.load(name)


def test_weights_that_nobody_published_are_an_error():
    name = next(n for n in timm.list_models() if not timm.models.is_model_pretrained(n))
    with pytest.raises(BadModel, match="no published weights"):
        sl.load(f"timm:{name}")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("vit")
    config = transformers.ViTConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        image_size=32, patch_size=8, id2label={0: "cat", 1: "dog", 2: "eel"},
    )  # fmt: skip
    transformers.ViTForImageClassification(config).half().save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def test_a_hugging_face_folder_brings_processor_and_labels(repository):
    model = sl.load(f"hf:{repository}")
    assert model.labels == ["cat", "dog", "eel"]
    assert model.preprocess == Preprocess(
        size=(32, 32), crop=None, mean=0.5, std=0.5, floor_offset=True, resampling="bytes"
    )
    picture = np.zeros((20, 30, 3), np.uint8)
    assert model.outputs(model.prepare(picture)).shape == (1, 3)
    assert next(model.module.parameters()).dtype == torch.float32


def test_a_hugging_face_repository_without_a_classifier_is_refused(repository, tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig.from_pretrained(repository)
    transformers.ViTModel(config, add_pooling_layer=False).save_pretrained(tmp_path)
    transformers.ViTImageProcessor().save_pretrained(tmp_path)
    with pytest.raises(BadModel, match="no trained classifier"):
        sl.load(f"hf:{tmp_path}")


def test_without_transformers_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="text"):
        sl.load("hf:google/vit")


@pytest.mark.parametrize("name", default.NAMES)
def test_embedded_networks_are_loaded(name):
    model = sl.load(f"sightline:{name}")
    image = np.zeros((*model.size, 3), np.uint8)
    assert model.outputs(model.prepare(image)).shape == (1, len(model.labels))
    assert "random" in sl.load(f"sightline:{name}", pretrained=False).name


@pytest.mark.real
def test_the_bird_network_knows_the_birds_of_its_species_as_was_measured(real):
    path = real / "weights" / "mobilenet_v2_inat_birds.safetensors"
    model = sl.load(
        f"file:{path}?arch=torchvision:mobilenet_v2&pad_type=same&mean=0.5&std=0.5"
        f"&labels={real / 'weights' / 'inat_bird_labels.txt'}"
    )
    assert len(model.labels) == 965
    with (real / "cub10" / "manifest.csv").open(encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["inat_bird_index"]]
    some = rows[::3]  # the folder's figure is of 96 of these 287: every third, as it turned out
    wanted = torch.tensor([int(row["inat_bird_index"]) for row in some])
    found = model.outputs([real / "cub10" / row["file"] for row in some]).argmax(1)
    assert len(some) == 96 and abs(float((found == wanted).float().mean()) - 0.792) <= 0.01
