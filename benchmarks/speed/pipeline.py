"""What the pipeline costs beside its rules, from the run that lies in results/, if there is one."""

import re
import sys
from pathlib import Path


def overhead(root: Path) -> dict[str, float] | None:
    """Wall time of the last whole run over the time in which at least one job ran; None where no run has left its
    times."""
    sys.path.insert(0, str(root / "benchmarks"))
    from orchestration import share

    logs = sorted((root / ".snakemake" / "log").glob("*.log"))
    whole = [path for path in logs if re.search(r"Elapsed time: ", path.read_text())]
    if not whole or not any((root / "results" / "benchmarks").rglob("*.tsv")):
        return None
    found = share(root / "results", whole[-1])
    return {"jobs": found["jobs"], "ratio": found["wall"] / found["busy"]}
