#!/bin/sh
# Installs matrix-nio, outside the checkout. Quick when nothing changed.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
place=${XDG_CACHE_HOME:-$HOME/.cache}/roost/client-matrix-nio
mkdir -p "$place/release"

# The requirements that the folder was made of; written last, so that a broken installation is done again.
if ! cmp -s "$here/requirements.txt" "$place/roost-requirements.txt"; then
    rm -f "$place/roost-requirements.txt"
    for candidate in python3.14 python3.13 python3.12 python3.11 python3; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            python=$candidate
            break
        fi
    done
    if [ -z "${python:-}" ]; then
        echo "matrix-nio's driver needs Python 3.11 or newer with venv: apt-get install python3 python3-venv" >&2
        exit 1
    fi
    "$python" -m venv --clear "$place/venv"
    "$place/venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: --require-hashes \
        --requirement "$here/requirements.txt"
    cp "$here/requirements.txt" "$place/roost-requirements.txt"
fi
rm -rf "$place/src"
mkdir "$place/src"
cp "$here"/*.py "$place/src/"

program=$place/release/roost-client-matrix-nio
printf '#!/bin/sh\nexec "%s/venv/bin/python" "%s/src/driver.py"\n' "$place" "$place" >"$program"
chmod +x "$program"
