"""Where the shape hook is on: everywhere but in tests that ask again what checked tests ask.

The hook (see pyproject.toml) checks the shapes of every call of the package, which adds up to a
half to the time of methods that take many small steps. The suites of the contracts, the claims and
the rooms call every public signature with it. The tests named here repeat those calls under other
conditions, compare their numbers with others' code, or look at pages.
"""

from pathlib import Path

TESTS = Path(__file__).parent
UNCHECKED = (
    "browser",
    "peers",
    "test_costs.py",
    "test_default_settings.py",
    "test_defaults.py",
    "test_docs.py",
    "test_other_kernels.py",
    "test_real.py",
    "test_refused_pictures.py",
)


def checked(path: Path) -> bool:
    """Whether the shapes are checked while a test of this file runs."""
    return path.relative_to(TESTS).parts[0] not in UNCHECKED
