"""Options behind the name of a method: `captum:IntegratedGradients?n_steps=20`."""

from ...errors import BadField

Setting = bool | int | float | str


def split(name: str) -> tuple[str, dict[str, Setting]]:
    """What follows the colon of a name, and the options behind its question mark.

    Raises: BadField for an option that is not NAME=VALUE.
    """
    rest, _, query = name.strip().partition(":")[2].partition("?")
    return rest, dict(_option(each, name) for each in query.split("&") if each)


def _option(text: str, name: str) -> tuple[str, Setting]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise BadField(f"options follow as ?NAME=VALUE&NAME=VALUE; got {text!r} in {name!r}.")
    return key.strip(), _value(value.strip())


def _value(text: str) -> Setting:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
