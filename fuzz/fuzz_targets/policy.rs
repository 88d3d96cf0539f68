//! Policies: what can be read can be decided by, and means the same when it is read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redrive::policy::{Caller, ConditionValues, Decision, Policies, Policy, Request, ResourcePolicy};

fuzz_target!(|text: &str| {
    let caller = Caller::principal("arn:aws:iam::000000000000:user/ada");
    let context = ConditionValues::new()
        .with("aws:userid", "ada")
        .with("aws:SourceIp", "10.0.0.1")
        .with("aws:SourceArn", "arn:aws:s3:::bucket")
        .with("aws:CurrentTime", "2026-01-01T00:00:00Z");
    let request = Request {
        caller: &caller,
        action: "lambda:InvokeFunction",
        resource: "arn:aws:lambda:us-east-1:000000000000:function:f",
        context: &context,
    };
    if let Ok(policy) = text.parse::<Policy>() {
        let once = request.decide(&Policies::new().identity(policy.clone()), None);
        let twice = Policies::new().identity(policy.clone()).identity(policy);
        assert_eq!(
            request.decide(&twice, None),
            once,
            "saying it twice changes nothing"
        );
        let all =
            r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}"#;
        let denied = twice.identity(all.parse().expect("a policy"));
        assert_ne!(
            request.decide(&denied, None),
            Decision::Allowed,
            "a deny wins"
        );
    }
    if let Ok(policy) = text.parse::<ResourcePolicy>() {
        let before = request.decide(&Policies::new(), Some(&policy));
        let again: ResourcePolicy = policy.to_json().parse().expect("it is read again");
        assert_eq!(request.decide(&Policies::new(), Some(&again)), before);
    }
});
