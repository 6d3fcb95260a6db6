"""What all settings share: unknown keys are refused, values do not change, an error names key, value and what is
allowed."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from featdiff.errors import UserError

LONGEST_NAME = 64
Name = Annotated[
    str, Field(pattern=rf"^[a-z0-9][a-z0-9_-]{{0,{LONGEST_NAME - 1}}}$", description="The name of a table's row.")
]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
S = TypeVar("S", bound="Settings")


class Settings(BaseModel):
    """Base of all settings: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Precision = Annotated[
    Literal["bf16", "tf32", "fp32"],
    Field(
        description="Of the network's arithmetic. bf16 is fp32 on a processor or GPU that has no bf16 of its own; "
        "tf32, a GPU's float32 with 10 bits of mantissa, is fp32 on a CPU."
    ),
]
Compile = Annotated[
    bool | Literal["auto"],
    Field(
        description="torch.compile: a minute or two before the first step, quicker steps after; needs a C++ "
        "compiler. auto: on a GPU where the run is long enough to earn it, never on a CPU."
    ),
]


def determining(settings: BaseModel) -> dict[str, Any]:
    """Settings as plain values, without those that change no bits (``json_schema_extra={"changes_bits": False}``)."""
    return {
        name: _plain_setting(getattr(settings, name))
        for name, field in type(settings).model_fields.items()
        if not (isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("changes_bits") is False)
    }


def _plain_setting(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return determining(value)
    if isinstance(value, Mapping):
        return {key: _plain_setting(inner) for key, inner in value.items()}
    return [_plain_setting(inner) for inner in value] if isinstance(value, tuple | list) else value


def parse(kind: type[S], values: Any, where: str) -> S:
    """Check ``values`` against the settings class ``kind``; a :class:`UserError` names key, value and what is
    allowed."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        errors = _own(error.errors())
        lines = [f"{where}: {len(errors)} bad setting(s)"]
        for e in errors:
            key = ".".join(str(part) for part in e["loc"]) or "(top level)"
            value = "" if e["type"] in ("missing", "value_error") else f" (got {e['input']!r})"
            lines.append(f"  {key}: {re.sub('^Value error, ', '', e['msg'])}{value}")
        raise UserError("\n".join(lines)) from None


def _own(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Errors without those that follow from others: a list is not too short because a bad element of it does not
    count."""
    places = [e["loc"] for e in errors]
    short = [e for e in errors if e["type"] == "too_short"]
    follow = [e for e in short if any(len(p) > len(e["loc"]) and p[: len(e["loc"])] == e["loc"] for p in places)]
    return [e for e in errors if e not in follow]
