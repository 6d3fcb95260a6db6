"""What makes numbers comparable; without torch, so that what only gathers them starts fast."""

from collections.abc import Mapping

from featdiff.errors import UserError

ALL = "all"  # the name of the rows over all classes


def check_same_protocol(protocols: Mapping[str, str]) -> str:
    """The one protocol of all named numbers; refuses to compare numbers of two."""
    different = sorted(set(protocols.values()))
    if len(different) > 1:
        lines = [f"  {name}: {text}" for name, text in sorted(protocols.items())]
        raise UserError("these were measured by different protocols, evaluate them again:\n" + "\n".join(lines))
    if not different:
        raise UserError("no evaluation was given")
    return different[0]
