"""A tiny tree in the layout in which CUB-200-2011 is published."""

from pathlib import Path

from PIL import Image


def make(root: Path) -> Path:
    """Two species, two pictures to learn from and one of each to be tested on, two attributes."""
    files = {
        "images.txt": "1 001.Grey_Owl/a.jpg\n2 001.Grey_Owl/b.jpg\n3 002.Red_Hen/c.jpg\n"
        "4 002.Red_Hen/d.jpg\n",
        "classes.txt": "1 001.Grey_Owl\n2 002.Red_Hen\n",
        "image_class_labels.txt": "1 1\n2 1\n3 2\n4 2\n",
        "train_test_split.txt": "1 1\n2 0\n3 1\n4 0\n",
        "bounding_boxes.txt": "1 1.0 2.0 8.0 6.0\n2 1.0 2.0 8.0 6.0\n3 0.0 0.0 4.0 5.0\n"
        "4 0.0 0.0 4.0 5.0\n",
        "attributes/attributes.txt": "1 has_bill_shape::hooked_seabird\n2 has_wing_color::red\n",
        "attributes/image_attribute_labels.txt": "1 1 1 3 27.7\n1 2 0 4 5.1\n2 1 1 4 2.0\n"
        "2 2 0 1 2.0\n3 1 0 4 1.0\n3 2 1 4 1.0\n4 1 0 2 1.0 \n4 2 1 3 0 1.0\n",
        "parts/parts.txt": "1 back\n2 left eye\n",
        "parts/part_locs.txt": "1 1 4.0 5.0 1\n1 2 0.0 0.0 0\n2 1 1.0 1.0 1\n2 2 3.0 2.0 1\n"
        "3 1 0.0 0.0 0\n3 2 0.0 0.0 0\n4 1 2.0 2.0 1\n4 2 2.5 1.0 1\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for k, line in enumerate(files["images.txt"].splitlines()):
        path = root / "images" / line.split()[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 10), (40 * k, 90, 30)).save(path)
    return root
