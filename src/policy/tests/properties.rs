//! Properties of every policy: order, repetition and any text.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn statements() -> impl Strategy<Value = Vec<Value>> {
    let action = prop::sample::select(vec![
        "*",
        "lambda:*",
        "lambda:InvokeFunction",
        "lambda:Get*",
    ]);
    let resource = prop::sample::select(vec!["*", FUNCTION, "arn:aws:lambda:*:*:function:g"]);
    let effect = prop::sample::select(vec!["Allow", "Allow", "Deny"]);
    let condition = prop::sample::select(vec![
        Value::Null,
        json!({ "StringEquals": { "aws:userid": ["a", "b"] } }),
        json!({ "StringNotLike": { "aws:userid": "a*" } }),
        json!({ "Null": { "aws:userid": "true" } }),
        json!({ "IpAddress": { "aws:SourceIp": ["10.0.0.0/8", "11.0.0.0/8"] } }),
    ]);
    let statement =
        (effect, action, resource, condition).prop_map(|(effect, action, resource, condition)| {
            let mut statement = json!({ "Effect": effect, "Action": action, "Resource": resource });
            if !condition.is_null() {
                statement["Condition"] = condition;
            }
            statement
        });
    prop::collection::vec(statement, 0..6)
}

fn contexts() -> impl Strategy<Value = ConditionValues> {
    let id = prop::option::of(prop::sample::select(vec!["a", "b", "c"]));
    let ip = prop::option::of(prop::sample::select(vec![
        "10.0.0.1", "12.0.0.1", "nonsense",
    ]));
    (id, ip).prop_map(|(id, ip)| {
        let context = id.map_or(ConditionValues::new(), |id| {
            ConditionValues::new().with("aws:userid", id)
        });
        ip.map_or(context.clone(), |ip| context.with("aws:SourceIp", ip))
    })
}

proptest! {
    /// Neither the order of statements nor their distribution over documents matters.
    #[test]
    fn the_order_of_statements_never_matters(
        mut all in statements(),
        context in contexts(),
        split in 0_usize..6,
        seed in any::<u64>(),
    ) {
        let decide = |documents: &[&[Value]]| {
            let policies = documents.iter().fold(Policies::new(), |policies, statements| {
                policies.identity(policy(json!(statements)))
            });
            let request = Request {
                caller: &Caller::principal(ADA),
                action: "lambda:InvokeFunction",
                resource: FUNCTION,
                context: &context,
            };
            request.decide(&policies, None)
        };
        let before = decide(&[&all]);
        let (one, other) = all.split_at(split.min(all.len()));
        prop_assert_eq!(&decide(&[other, one]), &before);
        use rand::SeedableRng;
        use rand::seq::SliceRandom;
        all.shuffle(&mut rand::rngs::StdRng::seed_from_u64(seed));
        prop_assert_eq!(&decide(&[&all]), &before);
        // One more deny that applies denies.
        all.push(deny("lambda:Invoke*", FUNCTION));
        prop_assert_ne!(decide(&[&all]), Decision::Allowed);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in ".{0,200}") {
        let _ = text.parse::<Policy>();
        let _ = text.parse::<ResourcePolicy>();
    }

    #[test]
    fn no_document_makes_the_reader_panic(
        version in prop::sample::select(vec!["2012-10-17", "2008-10-17"]),
        operator in "(ForAnyValue:)?[A-Za-z]{0,20}",
        key in "aws:[a-zA-Z]{0,12}",
        value in ".{0,30}",
        resource in "arn:.{0,30}",
    ) {
        let document = json!({
            "Version": version,
            "Statement": {
                "Effect": "Allow", "Action": "*", "Resource": resource,
                "Condition": { operator: { key: value } },
            },
        });
        let _ = document.to_string().parse::<Policy>();
    }
}
