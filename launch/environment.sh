# shellcheck shell=bash
# Sourced by quickstart.sh and test.sh: makes the virtual environment .venv in the checkout and installs into it, once.
# PYTHON names the interpreter to use (3.11 or newer), VENV another place for the environment.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

python=${PYTHON:-}
for candidate in python3 python3.13 python3.12 python3.11; do
  [ -n "$python" ] && break
  "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && python=$candidate
done
if ! "${python:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  echo "error: Python 3.11 or newer is needed; PYTHON=/path/to/python3.12 bash launch/... names one" >&2
  exit 1
fi

venv=${VENV:-.venv}

# install EXTRAS: installs the checkout with some extras ("" for none), unless that was done for this very pyproject.toml. Of
# processes that are started together, on one host or several, one does it, and the others wait.
install() {
  local stamp="$venv/installed${1:+-$1}"
  if is_newest "$stamp"; then return; fi
  mkdir -p "$(dirname "$venv")"
  (
    if command -v flock > /dev/null; then flock 9; fi
    if is_newest "$stamp"; then exit; fi
    echo "installing into $venv, which takes a few minutes the first time" >&2
    "$python" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".${1:+[$1]}"
    cat pyproject.toml constraints.txt > "$stamp"
  ) 9> "$venv.lock"
}

is_newest() {
  [ -f "$1" ] && cat pyproject.toml constraints.txt | cmp -s - "$1"
}

# install_for_machine: with CUDA where there is an NVIDIA GPU.
install_for_machine() {
  if nvidia-smi -L > /dev/null 2>&1; then install cuda; else install ""; fi
}
