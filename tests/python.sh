#!/usr/bin/env bash
# The Python the tests need: a virtual environment in target/python with what
# tests/requirements.txt pins. Does nothing where one of the same pins is already there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv=target/python
stamp=$venv/requirements.txt
cmp -s tests/requirements.txt "$stamp" && exit 0

rm -rf "$venv"
python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --requirement tests/requirements.txt
# Last, so that an installation that was cut short has no stamp.
cp tests/requirements.txt "$stamp"
