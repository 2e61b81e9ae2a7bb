"""What the root exports stays what it is, whichever rooms are imported."""

from importlib import import_module
from types import ModuleType

import sightline as sl


def test_a_room_does_not_hide_the_function_of_its_name() -> None:
    import_module("sightline.evaluate.plan")
    for name in set(sl.__all__) - {"errors"}:
        assert not isinstance(getattr(sl, name), ModuleType), name
