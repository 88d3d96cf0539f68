//! Condition operators, by a table of values that meet them and values that do not.

use serde_json::json;

use super::*;

/// Operator, key, the policy's value as JSON, a value that meets it, one that does not, and whether a request without a value
/// meets it.
const OPERATORS: &str = r#"
StringEquals                | aws:userid          | "a*"                   | a*                   | ab                   | no
StringNotEquals             | aws:userid          | ["a", "b"]             | c                    | b                    | yes
StringEqualsIgnoreCase      | aws:userid          | "Ä"                    | ä                    | a                    | no
StringNotEqualsIgnoreCase   | aws:userid          | "A"                    | b                    | a                    | yes
StringLike                  | aws:userid          | "a?c*"                 | abcd                 | ac                   | no
StringNotLike               | aws:userid          | "a*"                   | b                    | ab                   | yes
ArnLike                     | AWS:SourceArn       | "arn:aws:s3:::*"       | arn:aws:s3:::bucket  | arn:aws:sns:::x      | no
ArnEquals                   | AWS:SourceArn       | "arn:aws:s3:*:*:b*"    | arn:aws:s3:::bucket  | arn:aws:s3:x         | no
ArnNotLike                  | aws:SourceArn       | "arn:aws:sns:*:*:*"    | arn:aws:s3:::bucket  | arn:aws:sns:a:b:c    | yes
StringEquals                | AWS:SourceAccount   | "000000000000"         | 000000000000         | 1                    | no
Bool                        | aws:SecureTransport | "true"                 | true                 | false                | no
Bool                        | aws:SecureTransport | false                  | false                | true                 | no
IpAddress                   | aws:SourceIp        | "10.0.0.0/8"           | 10.9.8.7             | 11.0.0.1             | no
IpAddress                   | aws:SourceIp        | "2001:db8::/32"        | 2001:db8::1          | 2001:db9::1          | no
IpAddress                   | aws:SourceIp        | "10.0.0.1"             | ::ffff:10.0.0.1      | 10.0.0.2             | no
IpAddress                   | aws:SourceIp        | "0.0.0.0/0"            | 1.2.3.4              | ::1                  | no
NotIpAddress                | aws:SourceIp        | ["10.0.0.0/8", "11.0.0.0/8"] | 12.0.0.1       | 11.0.0.1             | yes
NumericLessThan             | aws:EpochTime       | "7"                    | 6.5                  | 7                    | no
NumericGreaterThanEquals    | aws:EpochTime       | 7                      | 7                    | 6                    | no
NumericNotEquals            | aws:EpochTime       | 7                      | 8                    | 7.0                  | yes
DateLessThan                | aws:CurrentTime     | "2026-06-01T00:00:00Z" | 2026-05-31T23:59:59Z | 2026-06-01T00:00:00Z | no
DateGreaterThan             | aws:CurrentTime     | "2026-06-01"           | 2026-06-01T00:00:01Z | 2026-06-01T00:00:00Z | no
DateEquals                  | aws:EpochTime       | 0                      | 1970-01-01T00:00:00Z | 1                    | no
StringEqualsIfExists        | aws:userid          | "a"                    | a                    | b                    | yes
ForAllValues:StringLike     | aws:userid          | "a*"                   | ab                   | b                    | yes
ForAnyValue:StringNotEquals | aws:userid          | "a"                    | b                    | a                    | no
"#;

fn with_condition(operator: &str, key: &str, value: Value) -> Value {
    let mut statement = allow("*", "*");
    statement["Condition"] = json!({ operator: { key: value } });
    statement
}

fn with(key: &str, value: &str) -> ConditionValues {
    ConditionValues::new().with(key, value)
}

#[test]
fn operators_compare_as_aws_does() {
    for row in OPERATORS.trim().lines() {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let [operator, key, value, meets, fails, absent] = *cells else {
            panic!("{row}");
        };
        let value: Value = serde_json::from_str(value).unwrap();
        let statement = with_condition(operator, key, value);
        assert!(is_allowed(statement.clone(), with(key, meets)), "{row}");
        assert!(!is_allowed(statement.clone(), with(key, fails)), "{row}");
        let allowed = is_allowed(statement, ConditionValues::new());
        assert_eq!(allowed, absent == "yes", "{row}: absent");
    }
}

#[test]
fn null_asks_whether_a_key_is_absent() {
    let null = |value| with_condition("Null", "aws:userid", json!(value));
    let (absent, present) = (ConditionValues::new, || with("aws:userid", "a"));
    assert!(is_allowed(null("true"), absent()) && !is_allowed(null("true"), present()));
    assert!(!is_allowed(null("false"), absent()) && is_allowed(null("false"), present()));
}

#[test]
fn a_variable_stands_for_the_requests_value_and_matches_nothing_without_one() {
    let same = with_condition("StringEquals", "aws:username", json!("${aws:userid}"));
    let both = with("aws:username", "a").with("AWS:UserId", "a");
    assert!(is_allowed(same.clone(), both));
    assert!(!is_allowed(same.clone(), with("aws:username", "x")));
    assert!(!is_allowed(same, ConditionValues::new()));
}

/// All operators and all keys must match, and of the values of a key one.
#[test]
fn clauses_are_combined_as_aws_does() {
    let mut statement = allow("*", "*");
    statement["Condition"] = json!({
        "StringEquals": { "aws:userid": ["a", "b"], "aws:username": "u" },
        "Bool": { "aws:SecureTransport": true },
    });
    let context = |id: &str, name: &str, secure: &str| {
        let context = ConditionValues::new()
            .with("aws:userid", id)
            .with("aws:username", name);
        context.with("aws:SecureTransport", secure)
    };
    assert!(is_allowed(statement.clone(), context("b", "u", "true")));
    for (id, name, secure) in [("c", "u", "true"), ("a", "v", "true"), ("a", "u", "false")] {
        assert!(!is_allowed(statement.clone(), context(id, name, secure)));
    }
}
