#!/usr/bin/env bash
# Makes the Python environment of the tests, target/python, from tests/requirements.txt. Where that is done already it
# takes no time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

environment=target/python
stamp=$environment/requirements.txt

if cmp -s tests/requirements.txt "$stamp"; then
    exit 0
fi

# The stamp comes last: a run that stops half way is done again.
rm -rf "$environment"
python3 -m venv "$environment"
"$environment/bin/python" -m pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt
"$environment/bin/python" -m pip check
cp tests/requirements.txt "$stamp"
