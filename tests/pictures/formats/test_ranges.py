"""What is black and what is white: 12 bits in 16 are warned about, and `range` says otherwise."""

import io
import json
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import sightline as sl
from sightline.cli.app import app
from sightline.errors import BadField, BadImage, SightlineWarning
from sightline.pictures import reading
from sightline.pictures.preprocess import Preprocess

TWELVE = np.linspace(0, 4095, 400).round().astype(np.uint16).reshape(20, 20)


def encoded(array: np.ndarray, form: str = "PNG") -> bytes:
    stream = io.BytesIO()
    if form == "NPY":
        np.save(stream, array)
    else:
        Image.fromarray(array).save(stream, form)
    return stream.getvalue()


def grey(**options: object) -> Preprocess:
    return Preprocess(size=None, crop=None, mean=[0], **options)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM", "NPY"])
def test_twelve_bits_in_sixteen_are_warned_about_and_kept(form):
    with pytest.warns(SightlineWarning, match=r"12-bit .*range=\(0, 4095\).*--range") as said:
        picture = reading.read(encoded(TWELVE, form))
    assert len(said) == 1 and "4095 of 65535" in picture.notes[-1]
    assert picture.array.max() == 16


@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM", "NPY"])
@pytest.mark.parametrize("range", ["data", (0, 4095), [0, 4095]])
def test_a_range_says_what_is_black_and_white(form, range):
    model = sl.Model(nn.Flatten(), grey(range=range))
    made = model.prepare(reading.read(encoded(TWELVE, form), range="full"))
    np.testing.assert_allclose(made[0, 0].numpy(), TWELVE / 4095, atol=1e-6)
    shown = model.pictures(made)[0].array
    np.testing.assert_array_equal(shown[..., 0], np.rint(TWELVE / 4095 * 255))


def test_full_keeps_sixteen_bits_as_they_are_and_says_nothing():
    full = reading.read(encoded(TWELVE), range="full")
    np.testing.assert_allclose(grey().prepare(full)[0].numpy(), TWELVE / 65535, atol=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reading.read(encoded(np.full((4, 4), 40000, np.uint16)))
        reading.read(encoded(np.zeros((4, 4), np.uint16)))


def test_the_warning_comes_once_for_its_cause():
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("default")
        for k in range(5):
            reading.read(encoded(TWELVE - np.minimum(TWELVE, k)))
    assert len(said) == 1


def test_sixteen_bit_colour_keeps_its_bits():
    array = np.random.default_rng(0).integers(0, 4096, (9, 7, 3)).astype(np.uint16)
    picture = reading.read(colour_png(array), range=(0, 4095))
    np.testing.assert_allclose(picture.bands(3), array / 4095, atol=1e-6)
    with pytest.warns(SightlineWarning, match="12-bit"):
        reading.read(colour_png(array))


def colour_png(array: np.ndarray) -> bytes:
    """A PNG of three bands of 16 bits, each row filtered in another way."""
    import struct
    import zlib

    rows, cols, count = array.shape
    wide = array.astype(">u2").view(np.uint8).reshape(rows, -1).astype(int)
    step, lines, above = 2 * count, b"", np.zeros(wide.shape[1], int)
    for r, line in enumerate(wide):
        left = np.concatenate([np.zeros(step, int), line[:-step]])
        corner = np.concatenate([np.zeros(step, int), above[:-step]])
        guess = left + above - corner
        near = np.abs([guess - left, guess - above, guess - corner])
        paeth = np.choose(near.argmin(0), [left, above, corner])
        base = [0 * line, left, above, (left + above) // 2, paeth][r % 5]
        lines += bytes([r % 5]) + ((line - base) % 256).astype(np.uint8).tobytes()
        above = line

    def chunk(name: bytes, data: bytes) -> bytes:
        end = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + end

    head = struct.pack(">IIBBBBB", cols, rows, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("array", [np.full((4, 4), 900.0), np.full((4, 4, 5), -2, np.float32),
                                   np.full((4, 4), 7, np.int64)])  # fmt: skip
def test_numbers_of_no_stated_range_are_refused_and_read_with_one(array):
    count = array.shape[2] if array.ndim == 3 else 1
    with pytest.raises(BadImage, match=r"range='data'.*--range"):
        reading.read(array)
    way = Preprocess(size=None, crop=None, mean=[0] * count, range=(-1000, 1000))
    made = sl.Model(nn.Flatten(), way).prepare(array)
    expected = (float(array.flat[0]) + 1000) / 2000
    torch.testing.assert_close(made, torch.full((1, count, 4, 4), expected))


def test_a_float_tiff_says_its_range():
    values = np.linspace(0, 0.75, 64, dtype=np.float32).reshape(8, 8)
    picture = reading.read(encoded(values, "TIFF"))
    assert "0 (black) to 1 (white)" in picture.notes[0]
    np.testing.assert_allclose(grey().prepare(picture)[0].numpy(), values, atol=1e-6)
    stretched = grey(range="data").prepare(picture)
    np.testing.assert_allclose(stretched[0].numpy(), values / 0.75, atol=1e-6)


def test_a_range_of_bytes_stretches_them_too():
    array = np.arange(100, 200, dtype=np.uint8).reshape(10, 10)
    made = Preprocess(size=None, crop=None, range=(100, 199)).prepare(reading.read(array))
    np.testing.assert_allclose(made[1].numpy(), (array - 100) / 99, atol=1e-6)


def test_json_and_description_hold_a_range_only_where_it_is_set():
    assert not {"range", "shown"} & Preprocess(size=8).to_json().keys()
    known = Preprocess(size=8, mean=[0] * 5, range=(0, 4095), shown=(4, 3, 2))
    fields = json.loads(json.dumps(known.to_json()))
    assert Preprocess(**fields) == known and "range 0 to 4095" in known.describe()
    older = {"size": [8, 8], "crop": "center", "mean": [0.5] * 3, "std": [0.5] * 3, "resize": 8,
             "fit": "cover", "interpolation": "bilinear", "antialias": True, "channels": 3,
             "fill": [0.0] * 3, "floor_offset": False}  # fmt: skip
    assert Preprocess(**older) == Preprocess(size=8, mean=0.5, std=0.5)
    for bad in ("half", (1,), (5, 2), (0, float("nan"))):
        with pytest.raises(BadField, match="range"):
            Preprocess(size=8, range=bad)


@pytest.mark.parametrize("text", ["0,4095", "data"])
def test_range_on_the_command_line(tmp_path, text):
    path = tmp_path / "x.png"
    colours = np.stack([TWELVE, TWELVE // 2, TWELVE // 3], axis=-1)
    path.write_bytes(colour_png(np.kron(colours, np.ones((4, 4, 1), np.uint16))))
    out, words = tmp_path / "out", ["--method", "grad-cam", "--quiet", "--range", text]
    assert run(["explain", str(path), "--metrics", "none", "--out", str(out), *words]) == 0
    with np.load(next(out.glob("*.npz"))) as held:
        values = held["values"]
    model = sl.load("sightline:default")
    model.preprocess = Preprocess(**{**model.preprocess.to_json(), "range": (0, 4095)})
    expected = sl.explain(model, path, method="grad-cam").numpy()
    np.testing.assert_allclose(values.reshape(expected.shape), expected, atol=1e-4)
    assert run(["explain", str(path), "--range", "low", "--out", str(out)]) == 2


@pytest.mark.parametrize("verb", ["evaluate", "attack", "benchmark"])
def test_other_verbs_take_a_range_too(tmp_path, verb):
    folder = tmp_path / "in"
    folder.mkdir()
    np.save(folder / "x.npy", np.random.default_rng(0).random((40, 40, 3)) * 900)
    options = {"evaluate": ["--methods", "grad-cam", "--metrics", "deletion", "--limit", "1"],
               "attack": ["--set", "steps=2"],
               "benchmark": ["--methods", "grad-cam", "--limit", "1", "--track", "real",
                             "--model", "torchvision:none", "--workers", "1"]}[verb]  # fmt: skip
    words = [verb, str(folder), *options, "--out", str(tmp_path / "out"), "--quiet"]
    if verb == "benchmark":  # its real track needs weights; the range is checked before them
        assert run([*words, "--range", "9,1"]) == 2
        return
    assert run([*words, "--range", "0,900"]) == 0
    assert run([*words[:-3], "--out", str(tmp_path / "other"), "--quiet"]) != 0


def run(words: list[str]) -> int:
    with pytest.raises(SystemExit) as caught:
        app(words)
    return int(caught.value.code or 0)
