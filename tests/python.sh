#!/usr/bin/env bash
<<<<<<< HEAD
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
=======
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
>>>>>>> sdk2
cp tests/requirements.txt "$stamp"
