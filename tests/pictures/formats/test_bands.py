"""Pictures of any number of bands, in TIFF and NumPy files, reach the network as stored."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import sightline as sl
from sightline.errors import BadField, BadImage
from sightline.pictures import reading as images
from sightline.pictures.formats.tiff import turned
from sightline.pictures.preprocess import Preprocess

KINDS = {"u": 1, "i": 2, "f": 3}


def tiff(
    array: np.ndarray,
    *,
    order: str = "<",
    planar: bool = False,
    tile: int = 0,
    deflate: bool = False,
    difference: bool = False,
    orientation: int = 1,
    photometric: int = 1,
) -> bytes:
    """A TIFF file of (row, col, band), written straight from the specification."""
    rows, cols, bands = array.shape
    planes = [array[..., k : k + 1] for k in range(bands)] if planar else [array]
    parts, counts = [], []
    for plane in planes:
        if tile:
            high, wide = -(-rows // tile) * tile, -(-cols // tile) * tile
            plane = np.pad(plane, ((0, high - rows), (0, wide - cols), (0, 0)))
            cut = [plane[y : y + tile, x : x + tile] for y in range(0, high, tile)
                   for x in range(0, wide, tile)]  # fmt: skip
        else:
            cut = [plane[y : y + 5] for y in range(0, rows, 5)]
        if difference:
            cut = [np.diff(part, axis=1, prepend=part[:, :1] * 0) for part in cut]
        data = [part.astype(array.dtype.newbyteorder(order)).tobytes() for part in cut]
        parts += [zlib.compress(one) if deflate else one for one in data]
    counts = [len(part) for part in parts]
    starts = [8 + sum(counts[:k]) for k in range(len(parts))]
    tags = {256: [cols], 257: [rows], 258: [array.dtype.itemsize * 8] * bands,
            259: [8 if deflate else 1], 262: [photometric], 274: [orientation], 277: [bands],
            284: [2 if planar else 1], 317: [2 if difference else 1],
            339: [KINDS[array.dtype.kind]] * bands}  # fmt: skip
    layout = {322: [tile], 323: [tile], 324: starts, 325: counts}
    tags |= layout if tile else {273: starts, 278: [5], 279: counts}
    body = b"".join(parts)
    body += b"\0" * (len(body) % 2)
    entries, more, behind = b"", b"", 8 + len(body) + 2 + 12 * len(tags) + 4
    for tag, values in sorted(tags.items()):
        held = struct.pack(f"{order}{len(values)}I", *values)
        if len(values) > 1:
            held, more = struct.pack(f"{order}I", behind + len(more)), more + held
        entries += struct.pack(f"{order}HHI", tag, 4, len(values)) + held
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(body))
    return start + body + struct.pack(f"{order}H", len(tags)) + entries + bytes(4) + more


def bands(count: int, dtype: str = "uint8", rows: int = 13, cols: int = 19) -> np.ndarray:
    rng = np.random.default_rng(count)
    if np.dtype(dtype).kind == "f":
        return rng.random((rows, cols, count)).astype(dtype)
    top = min(np.iinfo(dtype).max, 60000)
    return rng.integers(0, top, (rows, cols, count), endpoint=True).astype(dtype)


@pytest.mark.parametrize("options", [
    {}, {"order": ">"}, {"planar": True}, {"tile": 16}, {"tile": 16, "planar": True, "order": ">"},
    {"deflate": True}, {"deflate": True, "difference": True, "tile": 16},
    {"deflate": True, "difference": True, "planar": True, "order": ">"},
])  # fmt: skip
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32", "float64", "int16"])
@pytest.mark.parametrize("count", [2, 5])
def test_tiff_files_of_any_layout_give_the_numbers_that_were_written(options, dtype, count):
    array = bands(count, dtype)
    if "difference" in options and array.dtype.kind == "f":
        pytest.skip("floats have a predictor of their own")
    picture = images.read(tiff(array, **options))
    assert picture.raster is not None
    np.testing.assert_array_equal(picture.raster.values, array)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_tiff_files_of_many_bands_are_turned_upright(orientation):
    array = bands(5)
    undo = {6: 8, 8: 6}.get(orientation, orientation)
    stored = tiff(np.ascontiguousarray(turned(array, undo)), orientation=orientation)
    np.testing.assert_array_equal(images.read(stored).bands(5), array)


def test_five_bands_with_red_green_blue_first_are_not_cut_to_three():
    array = bands(5)
    picture = images.read(tiff(array, photometric=2))
    np.testing.assert_array_equal(picture.bands(5), array)
    np.testing.assert_array_equal(picture.array, array[..., :3])
    assert picture.caption == "bands 0, 1 and 2 of 5 are shown as red, green, blue"


def test_pages_of_one_band_are_bands_for_a_network_of_as_many_channels():
    array, stream = bands(5), io.BytesIO()
    pages = [Image.fromarray(array[..., k]) for k in range(5)]
    pages[0].save(stream, "TIFF", save_all=True, append_images=pages[1:])
    picture = images.read(stream.getvalue())
    np.testing.assert_array_equal(picture.bands(5), array)
    np.testing.assert_array_equal(picture.bands(3), np.repeat(array[..., :1], 3, axis=2))
    np.testing.assert_array_equal(picture.array, np.repeat(array[..., :1], 3, axis=2))
    assert "5 pages" in picture.notes[0]


@pytest.mark.parametrize("ending", ["npy", "npz", "tif"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_files_of_bands_are_pictures_for_a_network(tmp_path, ending, dtype):
    array, path = bands(5, dtype, 40, 30), tmp_path / f"x.{ending}"
    if ending == "tif":
        path.write_bytes(tiff(array))
    else:
        (np.save if ending == "npy" else np.savez)(path, array)
    model = five(size=None, crop=None)
    white = {"uint8": 255, "uint16": 65535, "float32": 1}[dtype]
    expected = torch.from_numpy(array.astype(np.float32) / white).permute(2, 0, 1)
    torch.testing.assert_close(model.prepare(path)[0], expected, rtol=0, atol=1e-6)
    heat = sl.explain(five(size=16), path, method="grad-cam")
    assert heat.values.shape == (1, 16, 16) and heat.on_original()[0].shape == (40, 30)
    assert images.gather(tmp_path) == [path]


def five(**options: object) -> sl.Model:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        net = nn.Sequential(
            nn.Conv2d(5, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(6, 2),
        )  # fmt: skip
    for weight in net.parameters():
        weight.data.abs_()  # so that the map of each class has something positive
    return sl.Model(net, Preprocess(mean=[0.0] * 5, std=[1.0] * 5, **options), ["a", "b"])


@pytest.mark.parametrize("way", ["bilinear", "bicubic", "nearest", "lanczos"])
def test_bands_are_resized_as_pillow_does_one_by_one(way):
    array = bands(5, rows=61, cols=47)
    made = Preprocess(size=24, resize=(30, 24), crop="center", mean=[0] * 5, interpolation=way,
                      fit="stretch").prepare(images.read(array))  # fmt: skip
    resampling = Image.Resampling[way.upper()]
    for k in range(5):
        band = Image.fromarray(array[..., k]).resize((24, 30), resampling)
        assert torch.equal(made[k], torch.from_numpy(np.array(band)[3:27]).float() / 255)
    floats = (array / np.float32(255)).astype(np.float32)
    other = Preprocess(size=24, resize=(30, 24), mean=[0] * 5, interpolation=way, fit="stretch")
    made = other.prepare(images.read(floats))
    band = np.asarray(Image.fromarray(floats[..., 2].copy()).resize((24, 30), resampling))[3:27]
    np.testing.assert_allclose(made[2].numpy(), band.clip(0, 1), atol=1e-6)
    assert made.min() >= 0 and made.max() <= 1


def test_three_bands_that_were_told_are_shown_and_named(tmp_path):
    array = bands(5, rows=20, cols=20)
    np.save(tmp_path / "x.npy", array)
    model = five(size=20, shown=(4, 1, 0))
    heat = sl.explain(model, tmp_path / "x.npy", method="grad-cam")
    np.testing.assert_array_equal(heat.pictures[0].array, array[..., [4, 1, 0]])
    assert heat.pictures[0].caption.startswith("bands 4, 1 and 0 of 5")
    figure = heat.figure()
    shown = figure.axes[0].images[0].get_array()[::18, ::18]  # enlarged by a whole factor
    np.testing.assert_array_equal(shown, array[..., [4, 1, 0]])
    words = " ".join(text.get_text() for text in figure.texts)
    assert "Bands 4, 1 and 0 of the picture are shown" in words
    assert heat.overlay().std() > 10  # not blank
    with pytest.raises(BadImage, match="numbered from 0"):
        five(size=20, shown=(5, 1, 0)).prepare(array)


def test_a_report_says_which_bands_are_shown(tmp_path):
    from sightline import explain_pictures

    model = five(size=20)
    plan = explain_pictures.plan(model, [sl.create("explainer", "grad-cam")])
    found = explain_pictures.explain_picture(plan, images.read(bands(5)))
    assert found.item.notes == ("bands 0, 1 and 2 of 5 are shown as red, green, blue",)
    from sightline.pages.record import PageRecord
    from sightline.pages.report.page import write

    path = write(PageRecord(title="x", items=(found.item,)), tmp_path / "r.html")
    assert "Bands 0, 1 and 2 of 5 are shown" in Path(path).read_text("utf-8")


def test_channels_follow_from_mean_and_std():
    assert Preprocess(size=8, mean=[0.5] * 5, std=[0.5] * 5).channels == 5
    assert Preprocess(size=8, mean=0.5, std=[1, 2, 3, 4]).mean == (0.5,) * 4
    assert Preprocess(size=8, mean=[0.5], std=[0.25]).channels == 1
    assert Preprocess(size=8, mean=0.5, std=0.5).channels == 3
    assert Preprocess(**Preprocess(size=8, mean=[0] * 7).to_json()).channels == 7
    with pytest.raises(BadField, match=r"\[4, 5\] numbers"):
        Preprocess(size=8, mean=[0] * 5, std=[1] * 4)


def test_a_network_of_one_channel_needs_nothing_more_than_its_numbers(tmp_path):
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    for weight in net.parameters():
        weight.data.abs_()
    model = sl.Model(net, Preprocess(size=16, mean=[0], std=[0.25]))
    array = bands(3, rows=16, cols=16)
    Image.fromarray(array).save(tmp_path / "x.png")
    grey = np.asarray(Image.fromarray(array).convert("L")) / np.float32(255)
    np.testing.assert_allclose(model.prepare(tmp_path / "x.png")[0, 0].numpy(), grey, atol=1e-6)
    assert sl.explain(model, tmp_path / "x.png", method="grad-cam").values.shape == (1, 16, 16)


def test_pictures_of_other_bands_than_the_network_takes_are_refused_by_number():
    with pytest.raises(BadImage, match=r"has 3 bands, and the network takes 5"):
        five(size=8).prepare(bands(3))
    with pytest.raises(BadImage, match=r"has 5 bands, and the network takes 3"):
        Preprocess(size=8).prepare(images.read(bands(5)))
    with pytest.raises(BadImage, match="transpose"):
        five(size=8).prepare(bands(20, rows=5, cols=9))
    four = bands(4)
    made = Preprocess(size=None, crop=None, mean=[0] * 4).prepare(images.read(four))
    np.testing.assert_allclose(made.permute(1, 2, 0).numpy() * 255, four, atol=1e-4)
    opaque = sl.Model(nn.Flatten(), preprocess=lambda image: torch.ones(3, 8, 8))
    with pytest.raises(BadImage, match="5 bands"):
        opaque.prepare(bands(5))


def test_masks_keep_their_place_beside_pictures_of_many_bands_and_a_range(tmp_path):
    from sightline.sample import Sample

    mask = np.zeros((30, 20), bool)
    mask[5:15, 4:12] = True
    picture = images.read(bands(5, "uint16", 30, 20))
    truth = Sample(name="x", source=picture, mask=mask).truth(
        five(size=None, crop=None, range=(0, 60000), fill=1.0), picture
    )
    np.testing.assert_array_equal(truth.masks[0], mask)


def test_broken_files_of_arrays_are_one_clear_error(tmp_path):
    stream = io.BytesIO()
    np.save(stream, bands(5))
    whole = stream.getvalue()
    for name, data, words in (
        ("cut.npy", whole[:-9], "truncated"), ("head.npy", whole[:20], "truncated"),
        ("flat.npy", saved(np.zeros(9, np.uint8)), "not one picture"),
        ("complex.npy", saved(np.zeros((3, 3), complex)), "expected uint8"),
        ("objects.npy", saved(np.array([{}, 1], object)), "expected uint8"),
        ("first.npy", saved(np.zeros((5, 64, 64), np.uint8)), "transpose"),
        ("tiff.tif", tiff(bands(5))[:90], "truncated|not a picture"),
    ):  # fmt: skip
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BadImage, match=words) as caught:
            images.read(tmp_path / name)
        assert str(caught.value).startswith(str(tmp_path / name))
    np.savez(tmp_path / "two.npz", a=bands(3), b=bands(3))
    with pytest.raises(BadImage, match="2 arrays"):
        images.read(tmp_path / "two.npz")
    np.savez(tmp_path / "named.npz", image=bands(3), b=bands(5))
    np.testing.assert_array_equal(images.read(tmp_path / "named.npz").array, bands(3))
    with pytest.raises(BadImage, match="decompression bombs"):
        images.read(whole, limit=100)


def saved(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()
