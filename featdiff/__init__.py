"""Feature-guided score diffusion as a reproducible pipeline."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["__version__", "evaluate"]

if TYPE_CHECKING:
    from featdiff.evaluation.any_images import evaluate


def __getattr__(name: str) -> Any:
    """What is made for people, loaded when it is asked for: ``import featdiff`` alone costs no torch."""
    if name == "evaluate":
        from featdiff.evaluation.any_images import evaluate

        return evaluate
    raise AttributeError(f"module 'featdiff' has no attribute '{name}'")
