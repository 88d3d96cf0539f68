#!/usr/bin/env bash
# The one command that checks everything, here and in CI. A fresh machine needs a Rust toolchain,
# a C and C++ compiler and Python 3 with its venv; what else is missing is installed into target.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export PATH="$PWD/target/tools/bin:$PATH"
mkdir -p target

heading() {
    printf '\n== %s\n' "$*"
}

# So that a run which stops half way does not look like one that passed.
report_failure() {
    local status=$?
    [ "$status" -eq 0 ] || printf '\nFAILED (exit %s)\n' "$status"
}
trap report_failure EXIT

install_tool() {
    cargo "$1" --version >/dev/null 2>&1 && return
    heading "installing cargo-$1 into target/tools"
    cargo install --locked --root target/tools "cargo-$1"
}

# jq and python may be missing, and cargo prints its metadata as one line of compact JSON.
features() {
    cargo metadata --no-deps --format-version 1 |
        sed -n 's/.*"features":{\([^}]*\)}.*/\1/p' |
        { grep -oE '"[^"]+":\[' || true; } |
        sed 's/^"//; s/":\[$//'
}

msrv() {
    cargo metadata --no-deps --format-version 1 |
        sed -n 's/.*"rust_version":"\([^"]*\)".*/\1/p'
}

# Prints the packages of the resolved tree that declare a newer Rust than $1.
too_new_for() {
    cargo metadata --all-features --format-version 1 |
        grep -oE '\{"name":"[^"]+","version":"[^"]+","id":|"rust_version":"[^"]+"' |
        awk -F'"' -v msrv="$1" '
            function number(version,  part) {
                split(version, part, ".")
                return part[1] * 1000000 + part[2] * 1000 + part[3]
            }
            $2 == "name" { package = $4 " " $8; next }
            number($4) > number(msrv) { print package " needs Rust " $4 }
        '
}

at_most() {
    if command -v timeout >/dev/null; then
        timeout "$@"
    else
        shift
        "$@"
    fi
}

install_tool nextest
install_tool deny
install_tool fuzz

heading "Python for the tests"
bash tests/python.sh

heading "formatting"
cargo fmt --all --check

heading "clippy, all features"
cargo clippy --workspace --all-targets --all-features -- -D warnings

heading "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features

heading "tests"
cargo nextest run --workspace --all-features 2>&1 | tee target/nextest.log

heading "documentation tests"
cargo test --workspace --doc --all-features 2>&1 | tee target/doctest.log

heading "AWS's own clients"
bash tests/aws_sdk/run.sh | tee target/aws.log

heading "fuzz targets, each for a while"
bash fuzz/run.sh 15

# Clippy rather than check: code that only some other feature uses is a warning, and has to fail.
heading "no features"
cargo clippy --no-default-features -- -D warnings
features=$(features)
for feature in $features; do
    heading "feature $feature alone"
    cargo clippy --no-default-features --features "$feature" -- -D warnings
done

msrv=$(msrv)
if [ -z "$msrv" ]; then
    echo "Cargo.toml declares no rust-version"
    exit 1
fi
if command -v rustup >/dev/null && rustup toolchain list | grep -qE "^${msrv//./\\.}[.-]"; then
    heading "Rust $msrv, by compiling with it"
    cargo "+$msrv" check --all-features
else
    heading "Rust $msrv, by lint: that toolchain is not installed"
    cargo clippy --all-features -- -D clippy::incompatible_msrv
fi

heading "dependencies work with Rust $msrv"
too_new=$(too_new_for "$msrv")
if [ -n "$too_new" ]; then
    echo "$too_new"
    exit 1
fi

heading "dependencies: duplicates, licences, sources"
cargo deny check bans licenses sources

heading "dependencies: known vulnerabilities"
outcome="all checks passed"
if at_most 120 cargo deny fetch db; then
    cargo deny check advisories
else
    cat <<'END'
!! The advisory database could not be fetched.
!! Known vulnerabilities in dependencies were NOT checked.
END
    outcome="all checks passed, but known vulnerabilities were NOT checked"
fi

# Both runners have ended well by now, so nothing failed.
passed=$(
    sed -n 's/.*Summary.* \([0-9][0-9]*\) passed.*/\1/p' target/nextest.log
    sed -n 's/^test result: ok\. \([0-9][0-9]*\) passed.*/\1/p' target/doctest.log
    sed -n 's/^\([0-9][0-9]*\) passed$/\1/p' target/aws.log
)
heading "$outcome"
echo "$passed" | awk '{ sum += $1 } END { print sum + 0 " passed, 0 failed" }'
