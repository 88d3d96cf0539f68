//! The function that a request means: its name in the path with the qualifier in the query, and the registered function
//! under that name (NAM-05 to NAM-13).

use std::borrow::Cow;

use super::function_ref::FunctionRef;
use super::name_form::{NameForm, check_qualifier};
use crate::client::FunctionInfo;
use crate::http::error::ApiError;
use crate::http::request::Incoming;

/// Reads a decoded name, and the qualifier that the query gives beside it.
///
/// # Errors
/// All violations of both at once (NAM-05), or a qualifier that contradicts the name's (NAM-11).
pub(super) fn read_target<'a>(
    function: &'a str,
    qualifier: Option<Cow<'a, str>>,
) -> Result<FunctionRef<'a>, ApiError> {
    let mut broken = Vec::new();
    let target = NameForm::Namespaced.read("functionName", function, &mut broken);
    if let Some(qualifier) = &qualifier {
        check_qualifier("qualifier", qualifier, &mut broken);
    }
    let Some(mut target) = target.filter(|_| broken.is_empty()) else {
        return Err(ApiError::validation(broken));
    };
    match (&target.qualifier, qualifier) {
        (Some(own), Some(given)) if *own != given => Err(ApiError::invalid_parameter(
            "The derived qualifier from the function name does not match the specified qualifier.",
        )),
        (None, given) => {
            target.qualifier = given;
            Ok(target)
        }
        _ => Ok(target),
    }
}

/// NAM-12: only this region's functions are here.
fn check_region(target: &FunctionRef<'_>, here: &str) -> Result<(), ApiError> {
    match target.region.filter(|region| *region != here) {
        None => Ok(()),
        Some(region) => Err(ApiError::not_found(format!(
            "Functions from '{region}' are not reachable in this region ('{here}')"
        ))),
    }
}

impl Incoming<'_> {
    /// Returns the function that a decoded name means, with the query's qualifier.
    pub(crate) fn target<'t>(&self, function: &'t str) -> Result<FunctionRef<'t>, ApiError> {
        let qualifier = self.query()?.remove("Qualifier").map(Cow::Owned);
        let target = read_target(function, qualifier)?;
        check_region(&target, self.api.client.region())?;
        Ok(target)
    }

    /// Returns the function that a decoded name means, where the query's qualifier is ignored (INV-31).
    pub(crate) fn target_of_path<'t>(
        &self,
        function: &'t str,
    ) -> Result<FunctionRef<'t>, ApiError> {
        let target = read_target(function, None)?;
        check_region(&target, self.api.client.region())?;
        Ok(target)
    }

    /// Returns the registered function of a target.
    pub(crate) fn function(&self, target: &FunctionRef<'_>) -> Result<FunctionInfo, ApiError> {
        let client = &self.api.client;
        let known = client
            .function(target.name)
            .filter(|_| !target.is_foreign(client.account()))
            .filter(|info| target.qualifier.as_ref().is_none_or(|it| info.knows(it)));
        known.ok_or_else(|| {
            // NAM-13
            let (arn, qualifier) = (self.arn(target), target.qualifier_or_latest());
            ApiError::not_found(format!("Function not found: {arn}:{qualifier}"))
        })
    }

    /// Returns the ARN of a target, unqualified, whether its function is here or not.
    pub(crate) fn arn(&self, target: &FunctionRef<'_>) -> String {
        let client = &self.api.client;
        target.arn(client.region(), client.account())
    }

    /// Returns the ARN of a target, with the qualifier if one was given (CFG-33).
    pub(crate) fn qualified_arn(&self, target: &FunctionRef<'_>) -> String {
        let arn = self.arn(target);
        match &target.qualifier {
            Some(qualifier) => format!("{arn}:{qualifier}"),
            None => arn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NAM-04, NAM-08
    #[test]
    fn a_text_that_is_not_a_name_is_a_validation_error() {
        for text in [
            "f:",
            ":f",
            "f:$LATES",
            "f:$latest",
            "a b",
            "ä",
            "arn:aws:lambda:us-east-1:000000000000:function:f:1:2",
            "arn:aws:lambda::000000000000:function:f",
            "arn:aws:lambda:us-east-1::function:f",
            "arn:aws:lambda:nowhere:000000000000:function:f",
            "arn:aws:lambda:us-east-1-:000000000000:function:f",
            "arn:aws:lambda:us-gov-west-1-:000000000000:function:f",
            "us-east-1--:000000000000:f",
            "arn:aws:sqs:us-east-1:000000000000:function:f",
            "arn:oracle:lambda:us-east-1:000000000000:function:f",
        ] {
            let error = read_target(text, None).unwrap_err();
            assert_eq!(error.code(), "ValidationException", "{text}");
            let begins = format!(
                "1 validation error detected: Value '{text}' at 'functionName' failed to satisfy constraint: "
            );
            assert!(error.message().starts_with(&begins), "{}", error.message());
        }
    }

    /// NAM-07
    #[test]
    fn a_name_may_be_longer_than_a_registered_function_can_be() {
        let name = "f".repeat(65);
        assert_eq!(read_target(&name, None).unwrap().name, name);
        let long = "f".repeat(257);
        let error = read_target(&long, None).unwrap_err();
        assert!(
            error.message().ends_with("less than or equal to 256"),
            "{}",
            error.message()
        );
    }

    /// NAM-05, NAM-06, NAM-10
    #[test]
    fn all_violations_are_reported_at_once() {
        let long = "q".repeat(129);
        for (qualifier, count) in [("a b", 2), ("", 3), (&long, 2)] {
            let error = read_target("a b", Some(qualifier.into())).unwrap_err();
            let begins =
                format!("{count} validation errors detected: Value 'a b' at 'functionName'");
            assert!(error.message().starts_with(&begins), "{}", error.message());
            assert!(error.message().contains("; Value '"));
            assert!(error.message().contains("at 'qualifier'"));
        }
        read_target("f", Some("$latest".into())).unwrap();
        read_target("f", Some("$LATEST.PUBLISHED".into())).unwrap();
    }

    /// NAM-11
    #[test]
    fn two_qualifiers_must_agree() {
        let target = read_target("f:live", Some("live".into())).unwrap();
        assert_eq!(target.qualifier.as_deref(), Some("live"));
        let error = read_target("f:live", Some("dead".into())).unwrap_err();
        assert_eq!(error.code(), "InvalidParameterValueException");
        assert_eq!(
            error.message(),
            "The derived qualifier from the function name does not match the specified qualifier."
        );
    }

    /// NAM-12
    #[test]
    fn a_function_of_another_region_is_not_found() {
        let target = read_target("us-east-2:000000000000:f", None).unwrap();
        let error = check_region(&target, "us-east-1").unwrap_err();
        assert_eq!(
            error.message(),
            "Functions from 'us-east-2' are not reachable in this region ('us-east-1')"
        );
        check_region(&target, "us-east-2").unwrap();
        assert!(target.is_foreign("111111111111") && !target.is_foreign("000000000000"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_and_the_name_is_part_of_the_text(text in ".{0,300}", qualifier in ".{0,140}") {
            if let Ok(target) = read_target(&text, Some(qualifier.into())) {
                assert!(text.contains(target.name));
            }
        }
    }
}
