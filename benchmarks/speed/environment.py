"""The peers' environment: made once, from pinned requirements, beside ours and never mixed with it."""

import hashlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".bench" / "venv"
REQUIREMENTS = ROOT / "benchmarks" / "requirements-peers.txt"
MADE = FOLDER / "made-from"


def prepare() -> dict[str, str]:
    """Make the environment where it is missing or made from other requirements. Returns why a package is not to be had,
    by line.

    Each pin is installed on its own when all together fail, so that one that cannot be had costs its own rows alone.
    """
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if MADE.exists():
        made, *failed = MADE.read_text().splitlines()
        if made == digest:
            return dict(line.split("\t", 1) for line in failed)
    _say(
        f"setting up {FOLDER.relative_to(ROOT)}: once, a download of about 500 MB (several GB where torch comes with "
        "CUDA) ..."
    )
    subprocess.run([sys.executable, "-m", "venv", "--clear", FOLDER], check=True)
    pins = [line.strip() for line in REQUIREMENTS.read_text().splitlines() if line.strip() and line[0] != "#"]
    torch = [pin for pin in pins if pin.startswith("torch==")]
    _say("  torch and what it needs ...")
    _install(["--constraint", str(REQUIREMENTS), *torch], alone=False)  # a CUDA build brings its libraries along
    _say(f"  {len(pins)} pinned packages ...")
    failed = {}
    if _install(pins):
        _say("  not all together: one by one ...")
        failed = {pin: why for pin in pins if (why := _install([pin]))}
    MADE.write_text("\n".join([digest, *(f"{pin}\t{why}" for pin, why in failed.items())]) + "\n")
    return failed


def python() -> Path:
    """The interpreter of the peers' environment."""
    return FOLDER / "bin" / "python"


def versions() -> dict[str, str]:
    """Each package of the peers' environment with its version."""
    done = subprocess.run(
        [python(), "-m", "pip", "list", "--format=freeze"], capture_output=True, text=True, check=True
    )
    return dict(line.split("==", 1) for line in done.stdout.splitlines() if "==" in line)


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _install(pins: list[str], *, alone: bool = True) -> str:
    """Install exactly these, ``alone`` or with what they need; returns why not, or nothing."""
    command = [python(), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += [*["--no-deps"] * alone, *pins]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["pip failed"])[-1][:200]
