"""Names in code: the field's word, things instead of participles, and one class to a name."""

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "src" / "sightline"
MODULES = sorted(PACKAGE.rglob("*.py"))

# Files by which a newcomer found nothing, and the word that says what is in them.
FILES = {
    "crew": "pool",
    "warming": "worker_state",
    "standing": "intervals",
    "standings": "ranking",
    "arenas": "tracks",
    "contest": "benchmark",
    "entrants": "methods",
    "kept": "results_store",
    "survey": "explain_pictures",
    "session": "shared_pass",
    "told": "artifact",
    "census": "recording",
    "redrawn": "reinitialised",
    "watch": "weight_changes",
    "references": "null_maps",
    "likeness": "similarity",
    "packed": "encode",
    "alone": "standalone",
    "worst": "worst_pictures",
    "interpreters": "differentiable_maps",
    "chase": "objective",
    "borrowed": "adapter_input",
    "walks": "optimisers",
    "way": "path",
    "habits": "console",
    "written": "output_files, notation",
    "seen": "what is seen",
    "spoken": "named_regions",
    "asking": "question_chain",
    "held": "inner_method",
    "ruled": "relu_rules",
    "of_class": "class_targets",
    "masked": "hiding",
    "plain_descent": "meaningful_perturbation",
}

# Words that name no thing; rooms in which functions and classes no longer have them.
PARTICIPLES = {"told", "held", "said", "kept", "seen", "found", "drawn", "shown", "looked"}
PURSUITS = {"glance", "chart", "chase", "loan", "blow", "wish", "dress", "bury", "hire"}
ROOMS = ("artifact", "attacks", "explainers", "hiding", "loading", "metrics", "nets", "ops")


@cache
def _definitions(path: Path) -> tuple[ast.ClassDef | ast.FunctionDef, ...]:
    tree = ast.parse(path.read_text("utf-8"))
    return tuple(n for n in ast.walk(tree) if isinstance(n, (ast.ClassDef, ast.FunctionDef)))


def _name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def test_each_class_has_a_name_of_its_own() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for path in MODULES:
        for each in _definitions(path):
            if isinstance(each, ast.ClassDef):
                homes[each.name].append(_name(path))
    assert not {name: where for name, where in homes.items() if len(where) > 1}


def test_files_are_named_after_what_is_in_them() -> None:
    stems = {_name(path): path.stem.strip("_") for path in MODULES}
    assert not {name: FILES[stem] for name, stem in stems.items() if stem in FILES}


def test_functions_and_classes_are_verbs_or_things() -> None:
    offenders = [
        f"{_name(path)}: {each.name}"
        for path in MODULES
        if path.relative_to(PACKAGE).with_suffix("").parts[0] in ROOMS
        for each in _definitions(path)
        if each.name.strip("_").lower() in PARTICIPLES | PURSUITS
    ]
    assert not offenders
