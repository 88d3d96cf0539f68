//! The name of an execution: its function, and a digest of the key in its payload.
//!
//! A digest is a SHA-256, because callers choose keys and must not be able to make two collide. Stores keep digests, so
//! their computation must never change.

use std::fmt::{self, Write};

use serde_json::Value;

use crate::event::function_name::FunctionName;

/// The name of an execution (IDM-02).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    digest: Digest,
    function: FunctionName,
}

impl Key {
    pub(crate) fn new(function: FunctionName, digest: Digest) -> Self {
        Self { digest, function }
    }

    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }

    pub(crate) fn function(&self) -> &FunctionName {
        &self.function
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.function, self.digest)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The digest of a JSON value. Blanks and the order of fields don't change it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Digest(pub(crate) [u8; 32]);

impl Digest {
    pub(crate) fn of(value: &Value) -> Self {
        let mut text = String::new();
        canonical(value, &mut text);
        Self(hmac_sha256::Hash::hash(text.as_bytes()))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Writes JSON without blanks, with sorted fields. It sorts them itself because features of the whole build decide on the order
/// of `serde_json`'s maps.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                separate(index, out);
                canonical(item, out);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            out.push('{');
            for (index, (name, item)) in fields.into_iter().enumerate() {
                separate(index, out);
                let _ = write!(out, "{}:", Value::from(name.as_str()));
                canonical(item, out);
            }
            out.push('}');
        }
        scalar => {
            let _ = write!(out, "{scalar}");
        }
    }
}

fn separate(index: usize, out: &mut String) {
    if index > 0 {
        out.push(',');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digest(json: &str) -> Digest {
        Digest::of(&serde_json::from_str(json).unwrap())
    }

    /// IDM-02
    #[test]
    fn blanks_and_the_order_of_fields_do_not_change_a_key() {
        assert_eq!(
            digest(r#"{"a": 1, "b": [true, null], "c": {"x": "y", "z": 0}}"#),
            digest(r#"{"c":{"z":0,"x":"y"},"b":[true,null],"a":1}"#)
        );
        assert_ne!(digest("[1,2]"), digest("[2,1]"));
        assert_ne!(digest("1"), digest("\"1\""));
    }

    /// Stores keep digests: a change here loses their results.
    #[test]
    fn a_key_is_the_functions_name_and_the_sha256_of_its_json() {
        let key = Key::new(FunctionName::new("charge"), digest("\"order-7\""));
        assert_eq!(
            key.to_string(),
            "charge#8ace791d47a0d4cdd04e3f1b5f28c32d958d74f17a9a9593ac38a7934fd831f7"
        );
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-3_i64..3).prop_map(Value::from),
            "[a\",:\\\\\\[{]{0,3}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                proptest::collection::btree_map("[a\",:]{0,2}", inner, 0..3)
                    .prop_map(|fields| fields.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn two_values_have_the_same_digest_only_if_they_are_equal(a in json(), b in json()) {
            prop_assert_eq!(a == b, Digest::of(&a) == Digest::of(&b));
        }
    }
}
