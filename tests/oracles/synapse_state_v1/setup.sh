#!/bin/sh
# Installs Synapse, outside the checkout, for the tests that use its code as an oracle. Quick when nothing changed.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
venv=${ROOST_SYNAPSE_VENV:-$HOME/.cache/roost/venv-synapse}

# The requirements that the folder was made of; written last, so that a broken installation is done again.
if cmp -s "$here/requirements.txt" "$venv/roost-requirements.txt"; then
    exit 0
fi
for candidate in python3.13 python3.12 python3.11 python3.10 python3; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "${python:-}" ]; then
    echo "Synapse needs Python 3.10 to 3.13 with venv: apt-get install python3 python3-venv" >&2
    exit 1
fi
"$python" -m venv --clear "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: --requirement "$here/requirements.txt"
cp "$here/requirements.txt" "$venv/roost-requirements.txt"
