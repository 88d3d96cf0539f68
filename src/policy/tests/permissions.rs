//! Permissions, and the statements that they become.

use serde_json::json;

use super::*;

/// Lets a bucket invoke the function.
fn permission() -> Permission {
    Permission {
        statement_id: "s3".to_owned(),
        action: "lambda:InvokeFunction".to_owned(),
        principal: "s3.amazonaws.com".to_owned(),
        source_arn: Some("arn:aws:s3:::bucket".to_owned()),
        source_account: Some("000000000000".to_owned()),
        ..Permission::default()
    }
}

fn statement() -> Value {
    permission().statement(FUNCTION).unwrap()
}

fn policy_with_it() -> ResourcePolicy {
    let mut policy = ResourcePolicy::default();
    policy.add(statement()).unwrap();
    policy
}

/// CFG-33
#[test]
fn a_permission_becomes_awss_statement() {
    assert_eq!(
        statement(),
        json!({
            "Sid": "s3", "Effect": "Allow",
            "Principal": { "Service": "s3.amazonaws.com" },
            "Action": "lambda:InvokeFunction", "Resource": FUNCTION,
            "Condition": {
                "StringEquals": { "AWS:SourceAccount": "000000000000" },
                "ArnLike": { "AWS:SourceArn": "arn:aws:s3:::bucket" },
            },
        })
    );
}

/// CFG-34
#[test]
fn a_permission_admits_its_source_and_no_other() {
    let policy = policy_with_it();
    let again: ResourcePolicy = policy.to_json().parse().unwrap();
    assert_eq!(again.to_json(), policy.to_json());
    let decide = |context: &ConditionValues| {
        let request = Request {
            caller: &Caller::service("s3.amazonaws.com"),
            action: "lambda:InvokeFunction",
            resource: FUNCTION,
            context,
        };
        request.decide(&Policies::new(), Some(&again))
    };
    let bucket = ConditionValues::new()
        .with("aws:SourceArn", "arn:aws:s3:::bucket")
        .with("aws:SourceAccount", "000000000000");
    assert_eq!(decide(&bucket), Decision::Allowed);
    let other = bucket.with("aws:SourceArn", "arn:aws:s3:::other");
    assert_ne!(decide(&other), Decision::Allowed);
    assert_ne!(decide(&ConditionValues::new()), Decision::Allowed);
}

/// CFG-35, CFG-37
#[test]
fn statements_are_added_and_removed_by_their_ids() {
    let mut policy = policy_with_it();
    let duplicate = PolicyError::DuplicateSid("s3".to_owned());
    assert_eq!(policy.add(statement()), Err(duplicate));
    let unknown = PolicyError::UnknownSid("sns".to_owned());
    assert_eq!(policy.remove("sns"), Err(unknown));
    policy.remove("s3").unwrap();
    assert!(policy.is_empty());
}

/// CFG-35
#[test]
fn a_policy_that_would_be_too_long_takes_no_more_statements() {
    let mut policy = ResourcePolicy::default();
    let mut permission = permission();
    let refused = (0..).find_map(|number| {
        permission.statement_id = format!("s{number}");
        policy.add(permission.statement(FUNCTION).unwrap()).err()
    });
    assert!(matches!(
        refused,
        Some(PolicyError::TooLarge { limit: 20_480, .. })
    ));
}

/// CFG-31
#[test]
fn faulty_parameters_are_refused() {
    let changes: [fn(&mut Permission); 9] = [
        |it| it.statement_id = "a b".to_owned(),
        |it| it.statement_id = String::new(),
        |it| it.action = "s3:GetObject".to_owned(),
        |it| it.principal = "nobody".to_owned(),
        |it| it.principal = "invalid.nonaws.com".to_owned(),
        |it| it.principal = "amazonaws.com".to_owned(),
        |it| it.function_url_auth_type = Some("NONE".to_owned()),
        |it| it.source_account = Some("1".to_owned()),
        |it| it.function_url_auth_type = Some("SOME".to_owned()),
    ];
    for change in changes {
        let mut faulty = permission();
        change(&mut faulty);
        faulty.statement(FUNCTION).unwrap_err();
    }
}

/// CFG-33
#[test]
fn services_of_all_partitions_are_principals() {
    for service in [
        "s3.amazonaws.com",
        "delivery.logs.amazonaws.com",
        "elasticmapreduce.eu-west-1.amazonaws.com",
        "ec2.amazonaws.com.cn",
        "alexa-appkit.amazon.com",
        "lambda.amazonaws.eu",
    ] {
        let mut permission = permission();
        permission.principal = service.to_owned();
        let statement = permission.statement(FUNCTION).unwrap();
        assert_eq!(statement["Principal"], json!({ "Service": service }));
    }
}

/// A stored policy stays readable when the rules for new permissions become stricter.
#[test]
fn a_stored_policy_may_name_a_service_that_a_permission_may_not() {
    on_function(json!({
        "Effect": "Allow", "Principal": { "Service": "invalid.nonaws.com" },
        "Action": "lambda:InvokeFunction", "Resource": FUNCTION,
    }));
}

/// The event source token is a secret.
#[test]
fn debug_omits_tokens() {
    let permission = Permission {
        event_source_token: Some("hush-hush".to_owned()),
        ..Permission::default()
    };
    assert!(!format!("{permission:?}").contains("hush"));
    let context = ConditionValues::new().with("lambda:EventSourceToken", "hush-hush");
    let shown = format!("{context:?}");
    assert!(!shown.contains("hush"), "{shown}");
    assert!(shown.contains("eventsourcetoken"), "{shown}");
}
