"""What the root exports stays what it is, whichever rooms are imported."""

from pathlib import Path

import sightline as sl

PACKAGE = Path(sl.__file__).parent


def test_no_room_has_the_name_of_something_that_the_root_exports() -> None:
    """Importing a room sets the root's attribute of that name."""
    rooms = {path.stem for path in PACKAGE.iterdir() if path.is_dir() or path.suffix == ".py"}
    assert rooms & set(sl.__all__) == {"errors"}
