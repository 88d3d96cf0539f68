#!/usr/bin/env bash
# Runs each fuzz target from its corpus for so many seconds: `fuzz/run.sh 15`. What it finds is in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
seconds=${1:-15}

# No sanitizer: there is no unsafe code of ours, and those need an unstable compiler.
for target in fuzz/fuzz_targets/*.rs; do
    name=$(basename "$target" .rs)
    # What is new goes elsewhere: the corpus that is checked in stays as it is.
    mkdir -p "target/fuzz-corpus/$name"
    cargo fuzz run --dev --sanitizer none --target-dir target/fuzz "$name" \
        "target/fuzz-corpus/$name" "fuzz/corpus/$name" -- \
        -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=2048 2>&1 |
        grep -vE '^#[0-9]+[[:space:]]+(NEW|REDUCE|pulse|RELOAD)' || exit 1
done
