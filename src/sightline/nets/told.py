"""What one of our safetensors files says of itself, before its weights are read."""

from pathlib import Path

from safetensors import SafetensorError, safe_open

from ..errors import BadModel, FileProblem


def told_by(path: Path, kind: str, what: str, recipe: str) -> dict[str, str]:
    """The metadata of a file of this kind. what: what it should hold, for messages; recipe: the
    command that makes it.

    Raises: FileProblem where there is no file, BadModel for a file of another kind.
    """
    if not path.is_file():
        raise FileProblem(f"there is no file {path} with the {what}; `{recipe}` makes one.")
    try:
        with safe_open(path, "pt") as file:
            told = file.metadata() or {}
    except SafetensorError as error:
        raise BadModel(f"{path} is not a safetensors file ({error}).") from None
    if told.get("kind") != kind:
        raise BadModel(
            f"{path.name} holds no {what} (its kind is {told.get('kind')!r}, expected"
            f" {kind!r}). `{recipe}` makes one."
        )
    return told
