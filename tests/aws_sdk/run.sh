#!/usr/bin/env bash
# AWS's own clients call the Lambda API of examples/lambda_api: boto3 and the AWS CLI from Python,
# and the SDK for Rust, which is a package of its own. Ends with how many tests passed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

cargo build --example lambda_api --all-features
export REDRIVE_LAMBDA_API="$PWD/target/debug/examples/lambda_api"

bash tests/python.sh
target/python/bin/python -m unittest discover --start-directory tests/aws_sdk/python 2>&1 |
    tee target/aws_python.log

cargo test --manifest-path tests/aws_sdk/Cargo.toml --target-dir target/aws_sdk 2>&1 |
    tee target/aws_rust.log

# Both have ended well by now, so nothing failed.
{
    sed -n 's/^Ran \([0-9]*\) tests.*/\1/p' target/aws_python.log
    sed -n 's/^test result: ok\. \([0-9]*\) passed.*/\1/p' target/aws_rust.log
} | awk '{ sum += $1 } END { print sum + 0 " passed" }'
