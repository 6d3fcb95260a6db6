"""Feature-guided score diffusion as a reproducible pipeline, and its models in Python (docs/tutorials/python.md)."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Images", "Model", "Target", "__version__", "evaluate", "load"]

if TYPE_CHECKING:
    from featdiff.api.images import Images
    from featdiff.api.loading import load
    from featdiff.api.model import Model, Target
    from featdiff.evaluation.any_images import evaluate


def __getattr__(name: str) -> Any:
    """What is made for people, loaded when it is asked for: ``import featdiff`` alone costs no torch."""
    if name == "load":
        from featdiff.api.loading import load

        return load
    if name in ("Model", "Target"):
        from featdiff.api import model

        return {"Model": model.Model, "Target": model.Target}[name]
    if name == "evaluate":
        from featdiff.evaluation.any_images import evaluate

        return evaluate
    if name == "Images":
        from featdiff.api.images import Images

        return Images
    raise AttributeError(f"module 'featdiff' has no attribute '{name}'")
