"""Formats that Pillow does not read are named, with what reads them; no error holds a file's bytes;
nothing of the process is changed, and other threads keep their limits."""

import io
import os
import sys
import threading
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sightline.errors import BadImage, MissingExtra
from sightline.pictures import reading as images
from sightline.pictures.formats import kinds


def png(rows: int = 12, cols: int = 20) -> bytes:
    array = np.random.default_rng(0).integers(0, 256, (rows, cols, 3), dtype=np.uint8)
    return images.encode_png(array)


@pytest.mark.parametrize(("start", "words"), [
    (b"\x00\x00\x00\x18ftypheic\0\0\0\0mif1heic", "HEIC.*pip install pillow-heif"),
    (b"\xff\x0a\xff\x07", "JPEG XL.*pip install pillow-jxl-plugin"),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "JPEG XL.*pip install pillow-jxl-plugin"),
    (b"\0" * 128 + b"DICM", r"DICOM.*sightline\[dicom\]"),
])  # fmt: skip
def test_a_format_that_needs_a_library_names_it(start, words, monkeypatch):
    for module in ("pillow_heif", "pillow_jxl", "pydicom"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for form in ("HEIF", "JXL"):
        monkeypatch.delitem(Image.OPEN, form, raising=False)
    with pytest.raises(BadImage, match=words) as caught:
        images.read(start + b"secret" * 40)
    assert isinstance(caught.value, MissingExtra) and "secret" not in str(caught.value)


@pytest.mark.parametrize(("start", "words"), [
    (b"\x89HDF\r\n\x1a\n", "HDF5; read the array with h5py"),
    (b"\x00\x00\x00\x18ftypisom\0\0\0\0isomiso2", "MP4.*ffmpeg"),
    (b"\x00\x00\x00\x18ftypcrx \0\0\0\0crx isom", "CR3"),
    (b"II*\0\x10\0\0\0CR\x02\0", "CR2"), (b"%PDF-1.7", "PDF"), (b"%!PS-Adobe-3.0", "PostScript"),
    (b"<!DOCTYPE html><html>", "web page, the download failed|web page; the download failed"),
    (b"<?xml version='1.0'?><svg>", "SVG"), (b"version https://git-lfs.github.com", "git lfs pull"),
    (b"\x1f\x8b\x08\0", "gzip"), (b"v/1\x01", "OpenEXR"), (b"SIMPLE-not", "not a picture"),
])  # fmt: skip
def test_a_format_that_is_not_read_is_named(start, words):
    with pytest.raises(BadImage, match=words) as caught:
        images.read(start + b"secret" * 40)
    assert "secret" not in str(caught.value) and "b'" not in str(caught.value)


def test_a_zip_of_other_files_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("secret.txt", "secret")
    with pytest.raises(BadImage, match="zip; unpack it") as caught:
        images.read(tmp_path / "x.npz")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("module", "form", "ending"), [
    ("pillow_heif", "HEIF", "heic"), ("pillow_jxl", "JXL", "jxl"),
])  # fmt: skip
def test_a_plugin_that_is_installed_reads_its_format(module, form, ending, tmp_path):
    library = pytest.importorskip(module)
    shape = np.full((24, 32, 3), (200, 40, 90), np.uint8)
    if form == "HEIF":
        library.from_pillow(Image.fromarray(shape)).save(tmp_path / "x.heic", quality=-1)
    else:
        Image.fromarray(shape).save(tmp_path / "x.jxl", lossless=True)
    picture = images.read(tmp_path / f"x.{ending}")
    np.testing.assert_allclose(picture.array, shape, atol=3)
    assert images.gather(tmp_path) == [tmp_path / f"x.{ending}"]


def dicom(values: np.ndarray, **facts: object) -> bytes:
    pydicom = pytest.importorskip("pydicom")
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    made = pydicom.dataset.FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID = meta.MediaStorageSOPClassUID
    made.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    made.Rows, made.Columns = values.shape
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 12, 11, 0
    made.PixelData = values.astype("<u2").tobytes()
    for name, value in facts.items():
        setattr(made, name, value)
    stream = io.BytesIO()
    made.save_as(stream)
    return stream.getvalue()


def test_dicom_is_read_with_its_bits_rescaling_window_and_inversion():
    stored = np.linspace(0, 4095, 120).round().reshape(10, 12)
    picture = images.read(dicom(stored))
    np.testing.assert_allclose(picture.bands(1)[..., 0], stored / 4095, atol=1e-6)
    assert "12 stored bits" in picture.notes[0]
    hounsfield = {"RescaleSlope": 2, "RescaleIntercept": -1024}
    windowed = images.read(dicom(stored, WindowCenter=40, WindowWidth=400, **hounsfield))
    units = stored * 2 - 1024
    by_standard = ((units - 39.5) / 399 + 0.5).clip(0, 1)
    np.testing.assert_allclose(windowed.bands(1)[..., 0], by_standard, atol=1e-5)
    lung = windowed.ranged((-1000, 400)).bands(1)[..., 0]
    np.testing.assert_allclose(lung, ((units + 1000) / 1400).clip(0, 1), atol=1e-5)
    inverted = images.read(dicom(stored, PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_allclose(inverted.bands(1)[..., 0], 1 - stored / 4095, atol=1e-6)
    with pytest.raises(BadImage, match="DICOM"):
        images.read(dicom(stored)[:-60])


def test_errors_have_the_name_as_it_was_given_and_nothing_of_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    secret = b"secret-of-the-file" * 20
    starts = {"a.png": b"\x89PNG\r\n\x1a\n", "b.jpg": b"\xff\xd8\xff\xe0",
              "c.tif": b"II*\0\x08\0\0\0",
              "d.npy": b"\x93NUMPY\x01\0", "e.gif": b"GIF89a", "f.webp": b"RIFF\0\0\0\0WEBPVP8 ",
              "g.bmp": b"BM", "h.txt": b"", "i.fits": b"SIMPLE  =", "j.psd": b"8BPS"}  # fmt: skip
    for name, start in starts.items():
        Path(name).write_bytes(start + secret)
        with pytest.raises(BadImage) as caught:
            images.read(name)
        said = str(caught.value)
        assert said.startswith(name) and "secret" not in said and str(tmp_path) not in said


def test_a_name_that_is_not_utf_8_can_be_printed(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.png"))
    path.write_bytes(png())
    assert images.read(path).name.encode("utf-8").endswith(b"bad\\udcff.png")
    path.write_bytes(b"nothing")
    with pytest.raises(BadImage) as caught:
        images.read(path)
    assert "bad\\udcff.png" in str(caught.value).encode("utf-8").decode()


def test_other_threads_keep_pillows_limit_and_their_warnings(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    seen, data, done = set(), png(), threading.Event()
    filters, show = list(warnings.filters), warnings.showwarning

    def watch() -> None:
        while not done.is_set():
            seen.add((Image.MAX_IMAGE_PIXELS, warnings.showwarning is show))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for _ in range(40):
            assert images.read(data).size == (12, 20)
    finally:
        done.set()
        watcher.join()
    assert seen == {(50, True)} and warnings.filters == filters
    with pytest.raises(BadImage, match="bombs"):
        images.read(data, limit=100)


def test_kinds_are_known_by_their_first_bytes_alone():
    assert kinds.is_tiff(b"II+\0" + bytes(12)) and not kinds.is_tiff(b"II*\0\x10\0\0\0CR\x02\0")
    assert kinds.is_dicom(bytes(128) + b"DICM")
