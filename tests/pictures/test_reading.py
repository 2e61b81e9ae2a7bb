"""Every bad thing that can be a picture gets the right pixels or one clear error."""

import io
import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageFile

from sightline.errors import BadImage, SightlineError, SightlineWarning
from sightline.pictures import reading as images
from sightline.pictures.formats.tiff import turned

MODES = "1 L P LA PA La RGB RGBA RGBa RGBX CMYK YCbCr LAB HSV I F I;16 I;16L I;16B".split()
ANY_SIZE = st.tuples(st.integers(1, 40), st.integers(1, 40))


def coloured(rows: int = 12, cols: int = 20, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (rows, cols, 3), dtype=np.uint8)


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_uint8_colour_is_kept_and_copied(array):
    before = array.copy()
    picture = images.read(array)
    assert picture.size == array.shape[:2]
    np.testing.assert_array_equal(picture.array, array)
    picture.array[:] = 7
    np.testing.assert_array_equal(array, before)


@given(
    ANY_SIZE,
    st.sampled_from([np.float16, np.float32, np.float64]),
    st.sampled_from([None, 1, 3, 4]),
)
def test_floats_of_any_width_are_scaled_from_zero_one(size, dtype, colours):
    shape = size if colours is None else (*size, colours)
    array = np.linspace(0, 1, int(np.prod(shape))).reshape(shape).astype(dtype)
    if colours == 4:
        array[..., 3] = 1
    picture = images.read(array)
    assert picture.array.dtype == np.uint8 and picture.array.shape == (*size, 3)
    grey = array.reshape(*size, -1)[..., 0].astype(float)
    np.testing.assert_allclose(picture.array[..., 0], np.rint(grey * 255), atol=1)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((4, 4, 3), 1.5), r"\[0, 1\]"),
        (np.full((4, 4, 3), -0.1, np.float32), r"-0.1"),
        (np.full((4, 4, 3), np.nan, np.float32), "nan"),
        (np.zeros((3, 8, 9), np.uint8), "transpose"),
        (np.zeros((1, 8, 9)), "transpose"),
        (np.zeros((2, 8, 9, 3), np.uint8), "not one picture"),
        (np.zeros((0, 9, 3), np.uint8), "not one picture"),
        (np.zeros(5, np.uint8), "not one picture"),
        (np.zeros((), np.uint8), "not one picture"),
        (np.zeros((4, 4, 3), np.int64), "uint8"),
        (np.zeros((4, 4), complex), "uint8"),
    ],
)
def test_an_array_that_is_not_a_picture_says_what_was_expected(array, words):
    with pytest.raises(BadImage, match=words):
        images.read(array)


def test_what_is_no_picture_at_all_is_refused():
    for thing in (None, 3, ["a.jpg"], {"a": 1}):
        with pytest.raises(BadImage, match="expected a path"):
            images.read(thing)


@settings(deadline=None)
@given(ANY_SIZE, st.sampled_from(MODES))
def test_every_mode_of_pillow_is_read_and_left_unchanged(size, mode):
    image = Image.new(mode, size[::-1])
    before = image.tobytes()
    assert images.read(image).array.shape == (*size, 3)
    assert image.mode == mode and image.tobytes() == before


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "WEBP", "GIF", "JPEG", "PPM"])
def test_grey_and_one_bit_files_are_grey(form):
    grey = np.repeat(np.arange(16, dtype=np.uint8)[None] * 17, 16, 0)
    read = images.read(saved(Image.fromarray(grey), form)).array
    assert np.ptp(read.astype(int), axis=2).max() == 0
    np.testing.assert_allclose(read[..., 0], grey, atol=6 if form in ("JPEG", "WEBP") else 0)
    if form not in ("JPEG", "WEBP"):
        bits = images.read(saved(Image.fromarray(grey > 99).convert("1"), form)).array
        np.testing.assert_array_equal(bits[..., 0], np.where(grey > 99, 255, 0))


@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM", "JPEG2000"])
def test_sixteen_bits_are_scaled_and_not_clipped(form):
    wide = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    options = {"irreversible": False} if form == "JPEG2000" else {}
    read = images.read(saved(Image.fromarray(wide), form, **options)).array[..., 0]
    np.testing.assert_array_equal(read, np.rint(wide / 257))


def test_a_dark_sixteen_bit_picture_stays_dark():
    dark = np.full((4, 4), 900, np.uint16)
    for form in ("PNG", "PPM", "TIFF"):
        with pytest.warns(SightlineWarning, match="10-bit numbers"):
            assert images.read(saved(Image.fromarray(dark), form)).array.max() == 4


def sixteen_bit_colour_png(rows: int, cols: int, value: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", cols, rows, 16, 2, 0, 0, 0)
    lines = (b"\0" + struct.pack(">H", value) * 3 * cols) * rows
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def test_sixteen_bit_colour_is_scaled():
    read = images.read(sixteen_bit_colour_png(5, 7, 0x8080)).array
    assert read.shape == (5, 7, 3) and abs(read.astype(int) - 128).max() <= 1


@pytest.mark.parametrize(
    ("low", "high", "first", "last"),
    [(0, 1, 0, 255), (0, 255, 0, 255), (0, 65535, 0, 255), (-3, 9, 0, 255), (0, 0.5, 0, 128)],
)
def test_a_float_tiff_is_brought_to_eight_bits_and_says_how(low, high, first, last):
    values = np.linspace(low, high, 64, dtype=np.float32).reshape(8, 8)
    picture = images.read(saved(Image.fromarray(values), "TIFF"))
    assert picture.array[0, 0, 0] == first and picture.array[-1, -1, 0] == last
    assert len(picture.notes) == 1


def test_a_float_tiff_with_nan_is_refused():
    values = np.full((4, 4), np.nan, np.float32)
    with pytest.raises(BadImage, match="NaN"):
        images.read(saved(Image.fromarray(values), "TIFF"))


def test_what_is_transparent_is_put_over_white():
    clear, half = (255, 0, 0, 0), (0, 0, 0, 128)
    array = np.array([[clear, half, (1, 2, 3, 255)]], np.uint8)
    expected = [[[255, 255, 255], [127, 127, 127], [1, 2, 3]]]
    np.testing.assert_array_equal(images.read(array).array, expected)
    np.testing.assert_array_equal(images.read(saved(Image.fromarray(array), "PNG")).array, expected)
    grey = Image.fromarray(array).convert("LA")
    assert images.read(saved(grey, "PNG")).array[0, 0].tolist() == [255, 255, 255]


def test_a_palette_with_a_transparent_colour_is_put_over_white():
    image = Image.fromarray(np.array([[0, 1]], np.uint8), "L").convert("P")
    image.putpalette([10, 20, 30, 200, 0, 0])
    read = images.read(saved(image, "PNG", transparency=0)).array
    assert read[0].tolist() == [[255, 255, 255], [200, 0, 0]]
    grey = Image.fromarray(np.array([[0, 65535]], np.uint16))
    assert images.read(saved(grey, "PNG")).array[0, 0].tolist() == [0, 0, 0]


def test_cmyk_is_converted_as_pillow_does():
    cmyk = Image.fromarray(coloured(16, 16)).resize((64, 64)).convert("CMYK")
    for form in ("JPEG", "TIFF"):
        data = saved(cmyk, form)
        expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        np.testing.assert_array_equal(images.read(data).array, expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_the_exif_orientation_is_applied(orientation, form):
    upright = np.full((20, 40, 3), 255, np.uint8)
    upright[:8, :8] = (255, 0, 0)
    undo = {6: 8, 8: 6}.get(orientation, orientation)
    stored = Image.fromarray(upright)
    if undo > 1:
        stored = Image.fromarray(turned(upright, undo))
    exif = Image.Exif()
    exif[0x0112] = orientation
    read = images.read(saved(stored, form, exif=exif)).array
    assert read.shape == upright.shape
    np.testing.assert_allclose(read[2:6, 2:6], upright[2:6, 2:6], atol=30)
    assert read[-6:, -6:].min() > 200


def test_a_broken_exif_block_is_ignored_and_said():
    exif = b"Exif\0\0II*\0\xff\xff\xff\xff"
    for bad in (exif, b"Exif\0\0nonsense", b"Exif\0\0"):
        picture = images.read(saved(Image.fromarray(coloured()), "JPEG", exif=bad))
        assert picture.size == (12, 20)
        assert bool(picture.notes) == (bad is exif)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_gives_its_first_frame_and_says_so(form):
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "blue", "lime")]
    options = {"lossless": True} if form == "WEBP" else {}
    picture = images.read(
        saved(frames[0], form, save_all=True, append_images=frames[1:], **options)
    )
    assert picture.size == (6, 8) and picture.array[0, 0].tolist() == [255, 0, 0]
    assert "frames" in picture.notes[0]


def test_a_pillow_animation_stays_at_its_frame():
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "blue", "lime")]
    image = Image.open(io.BytesIO(saved(frames[0], "GIF", save_all=True, append_images=frames[1:])))
    image.seek(1)
    assert images.read(image).array[0, 0].tolist() == [0, 0, 255] and image.tell() == 1


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "PPM", "JPEG2000"])
@settings(deadline=None, max_examples=40)
@given(part=st.floats(0.001, 0.97))
def test_a_truncated_file_is_refused(form, part):
    data = saved(Image.fromarray(coloured(40, 50)), form)
    with pytest.raises(BadImage):
        images.read(data[: int(len(data) * part)])


@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from(["JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "PPM", "ICO", "TGA"]),
    st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_damaged_bytes_give_a_picture_or_a_clear_error_and_nothing_else(form, damage):
    data = bytearray(saved(Image.fromarray(coloured(16, 16)), form))
    for where, value in damage:
        data[int(where * len(data))] = value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's about metadata
        try:
            images.read(bytes(data), limit=10**6)
        except SightlineError as problem:
            assert len(str(problem)) > 20


@given(st.binary(max_size=200))
def test_bytes_that_are_no_picture_are_refused(data):
    with pytest.raises(BadImage):
        images.read(data)


def test_a_jpeg_that_promises_more_rows_than_it_holds_is_refused():
    data = bytearray(saved(Image.fromarray(coloured(64, 64)), "JPEG"))
    height = data.find(b"\xff\xc0") + 5
    data[height : height + 2] = (128).to_bytes(2, "big")
    with pytest.raises(BadImage, match="truncated"):
        images.read(bytes(data))
    whole = saved(Image.fromarray(coloured(64, 64)), "JPEG")
    with pytest.raises(BadImage, match="truncated"):
        images.read(whole[: len(whole) // 2] + b"\xff\xd9")


def test_a_jpeg_that_really_ends_in_middle_grey_is_read():
    for progressive in (False, True):
        grey = Image.new("RGB", (64, 64), (128, 128, 128))
        assert images.read(saved(grey, "JPEG", progressive=progressive)).size == (64, 64)


def bomb(rows: int, cols: int) -> bytes:
    return saved(Image.new("1", (cols, rows)), "PNG")


def test_a_decompression_bomb_is_refused_before_it_is_decoded_and_pillow_is_left_alone():
    kept = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    with pytest.raises(BadImage, match=r"225 million pixels; at most 200 million"):
        images.read(bomb(15000, 15000))
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES) == kept
    with pytest.raises(BadImage, match="bomb"):
        images.read(coloured_png := saved(Image.fromarray(coloured()), "PNG"), limit=100)
    assert images.read(coloured_png).size == (12, 20)


def test_pillows_own_lower_limit_neither_stops_us_nor_is_changed(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert images.read(saved(Image.fromarray(coloured()), "PNG")).size == (12, 20)
    assert Image.MAX_IMAGE_PIXELS == 10


def test_a_picture_thirty_thousand_pixels_long_is_read():
    for size in ((30000, 40), (40, 30000), (30000, 1)):
        assert images.read(bomb(*size)).size == size


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP"])
def test_one_pixel_is_a_picture(form):
    assert images.read(saved(Image.new("RGB", (1, 1), (9, 9, 9)), form)).size == (1, 1)


def test_the_content_counts_and_not_the_ending(tmp_path):
    path = tmp_path / "lies.jpg"
    path.write_bytes(saved(Image.fromarray(coloured()), "PNG"))
    picture = images.read(path)
    np.testing.assert_array_equal(picture.array, coloured())
    assert picture.path == path and picture.name == str(path)


def test_a_path_without_a_picture_says_why(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "dog.jpg").write_bytes(saved(Image.fromarray(coloured()), "JPEG"))
    os.mkfifo(tmp_path / "pipe")
    cases = {
        "empty.png": "0 bytes",
        "text.jpg": "not a picture",
        "dgo.jpg": "did you mean 'dog.jpg'",
        ".": "folder",
        "pipe": "regular file",
        "a" * 300: "cannot be opened",
        "nul\0byte": "no such file|cannot be opened",
    }
    for name, words in cases.items():
        with pytest.raises(BadImage, match=words):
            images.read(tmp_path / name)
    with pytest.raises(BadImage, match="address"):
        images.read("https://example.org/dog.jpg")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_locked_file_is_an_error_about_permission(tmp_path):
    path = tmp_path / "locked.png"
    path.write_bytes(saved(Image.fromarray(coloured()), "PNG"))
    path.chmod(0)
    with pytest.raises(BadImage, match="ermission"):
        images.read(path)


def test_postscript_is_never_given_to_ghostscript():
    with pytest.raises(BadImage, match="not a picture"):
        images.read(saved(Image.fromarray(coloured()), "EPS"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = saved(Image.fromarray(coloured()), "PNG")
    for name in ("b/2.png", "b/1.JPG", "a/x.webp", "a/.hidden.png", ".git/y.png", "[1].png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    (tmp_path / "b" / "notes.txt").write_text("x")
    (tmp_path / "nothing").mkdir()
    return tmp_path


def test_folders_globs_and_files_are_gathered_in_order_and_once(folder):
    def names(*sources: str) -> list[str]:
        found = images.gather([folder / s for s in sources])
        return [str(f.relative_to(folder)) for f in found]

    assert names(".") == ["[1].png", "a/x.webp", "b/1.JPG", "b/2.png"]
    assert names("b/*.png", "b") == ["b/2.png", "b/1.JPG"]
    assert names("**/*.webp") == ["a/x.webp"]
    assert names("[1].png", "b/notes.txt") == ["[1].png", "b/notes.txt"]
    assert images.gather(str(folder / "b" / "2.png")) == [folder / "b" / "2.png"]


def test_gathering_nothing_is_an_error(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert images.gather("b/*.png") == [Path("b/2.png")]
    for sources, words in (("nothing", "no pictures in the folder"), ("*.gif", "no pictures match"),
                           ("c.png", "no such file"), ([], "no pictures were named")):  # fmt: skip
        with pytest.raises(BadImage, match=words):
            images.gather(sources)


def test_encoded_pictures_come_back():
    np.testing.assert_array_equal(images.read(images.encode_png(coloured())).array, coloured())
    assert images.read(images.encode_jpeg(coloured())).size == (12, 20)
