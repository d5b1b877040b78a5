#!/usr/bin/env bash
# Makes the Python environment that `make` works in. Called by `make setup`; safe to run again.
#
#   VENV        folder of the environment (.venv)
#   PYTHON      Python to make it with (the first of python3, python3.11, ... that is new enough)
#   DETECTRON2  a pip requirement or a folder to install as Detectron2; "default" for the one named in
#               detectron2.txt; empty keeps the one that is installed, in a new environment the default
#   DETECTRON2_OPS=1  compiles Detectron2's operators, where its sources are there (C++ compiler, minutes)
set -euo pipefail
cd "$(dirname "$0")/.."

VENV=${VENV:-.venv}
OLDEST=3.11
RECORD=$VENV/detectron2-requirement

fail() {
    echo "setup: error: $*" >&2
    exit 1
}

new_enough() {
    "$1" -c "import sys; sys.exit(sys.version_info < (${OLDEST/./, }))" 2>/dev/null
}

# The environment's own Python, or else one to make it with.
find_python() {
    local candidate
    if [ -n "${PYTHON:-}" ]; then
        command -v "$PYTHON" >/dev/null || fail "PYTHON=$PYTHON is not a command"
        new_enough "$PYTHON" ||
            fail "Python $OLDEST or newer is needed; PYTHON=$PYTHON is $("$PYTHON" --version 2>&1 | head -n 1)"
        echo "$PYTHON"
        return
    fi
    for candidate in python3 python3.11 python3.12 python3.13; do
        if new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail "Python $OLDEST or newer is needed; python3 is $(python3 --version 2>&1 | head -n 1)." \
        "Install one and name it: make setup PYTHON=python$OLDEST"
}

uv_install() {
    "$VENV/bin/uv" pip install --python "$VENV/bin/python" "$@" ||
        fail "the installation above failed. Was the package index reached? Check the network and" \
            "PIP_INDEX_URL / UV_DEFAULT_INDEX and run it again"
}

install_detectron2() {
    local source=${1/#\~/$HOME}
    # --no-deps: its requirements of 2021 cannot be met; pyproject.toml lists what it needs.
    local options=(--no-deps --no-build-isolation --reinstall)
    if [ "${DETECTRON2_OPS:-0}" != 1 ]; then
        options+=(--config-setting=--global-option=build_py --config-setting=--build-option=--skip-build)
    fi
    if [ "$source" = default ]; then
        uv_install "${options[@]}" --require-hashes -r detectron2.txt
    elif [ -d "$source" ]; then
        [ -f "$source/setup.py" ] || fail "DETECTRON2=$source is a folder without a setup.py"
        # From a copy, because building writes into the source folder.
        copy=$(mktemp -d)
        trap 'rm -rf "$copy"' EXIT  # runs outside this function: copy is not local
        tar -C "$source" --exclude=.git --exclude=build -cf - . | tar -C "$copy" -xf -
        uv_install "${options[@]}" "$copy"
    else
        case $source in
            /* | ./* | ../*) fail "DETECTRON2=$source: there is no such folder" ;;
        esac
        uv_install "${options[@]}" "$source"
    fi
}

if [ ! -x "$VENV/bin/python" ] || ! new_enough "$VENV/bin/python"; then
    python=$(find_python)
    echo "setup: making $VENV with $("$python" --version)"
    "$python" -m venv --clear "$VENV" ||
        fail "$python cannot make a virtual environment (on Debian and Ubuntu: apt install python3-venv)"
fi

if ! "$VENV/bin/python" -m pip install --quiet --constraint constraints.txt uv; then
    fail "uv could not be installed: no package index answered. Check the network and PIP_INDEX_URL"
fi

# uv does not read pip's settings: hand it pip's index, where one is set.
if [ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ]; then
    index=${PIP_INDEX_URL:-$("$VENV/bin/python" -m pip config get global.index-url 2>/dev/null || true)}
    [ -z "$index" ] || export UV_DEFAULT_INDEX=$index
fi

echo "setup: installing the versions of constraints.txt (about 5.5 GB, most of it PyTorch)"
uv_install --quiet --constraint constraints.txt setuptools wheel
uv_install --constraint constraints.txt --override overrides.txt --no-build-isolation \
    --editable '.[detectron2,test]'

installed=$(cat "$RECORD" 2>/dev/null || true)
wanted=${DETECTRON2:-${installed:-default}}
echo "setup: installing Detectron2: $wanted"
rm -f "$RECORD"
"$VENV/bin/uv" pip uninstall --quiet --python "$VENV/bin/python" detectron2 pb1-detectron2
install_detectron2 "$wanted"
echo "$wanted" >"$RECORD"

"$VENV/bin/python" -c 'import detr_d2' || fail "detr_d2 cannot be imported with this Detectron2; see above"
echo "setup: done. Next, in this shell: source $VENV/bin/activate"
