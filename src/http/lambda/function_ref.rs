//! Which function a path means: a name, a partial or a full ARN, each with or without a qualifier (NAM-01 to NAM-13).

use std::borrow::Cow;

pub(crate) use crate::function::arn::{is_account, is_region};
use crate::http::error::{ApiError, Constraint};

/// What a function name in a path stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    /// The function's name.
    pub(crate) name: &'a str,
    /// The qualifier, from the name or the query, as given (NAM-16).
    pub(crate) qualifier: Option<Cow<'a, str>>,
    partition: Option<&'a str>,
    region: Option<&'a str>,
    account: Option<&'a str>,
}

/// AWS's partition that ARNs name here.
const PARTITION: &str = "aws";
const PUBLISHED: &str = "$LATEST.PUBLISHED";
/// NAM-06
const QUALIFIER_MAX: usize = 128;
/// As AWS's model has it; answers quote it (NAM-04).
const QUALIFIER_PATTERN: &str = "\\$(LATEST(\\.PUBLISHED)?)|[a-zA-Z0-9-_$]+";

/// The forms in which AWS's operations take a function's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// With a qualifier or not, and with dots.
    Namespaced,
    /// With a qualifier or not.
    Plain,
    Unqualified,
}

impl Names {
    /// NAM-03
    fn length_max(self) -> usize {
        match self {
            Self::Namespaced => 256,
            Self::Plain | Self::Unqualified => 140,
        }
    }

    /// As AWS's model has it; answers quote it (NAM-04).
    fn pattern(self) -> &'static str {
        match self {
            Self::Namespaced => {
                r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?"
            }
            Self::Plain => {
                r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?"
            }
            Self::Unqualified => {
                r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)"
            }
        }
    }

    fn takes(self, target: &Target<'_>) -> bool {
        match (self, &target.qualifier) {
            (Self::Namespaced, _) => true,
            (Self::Unqualified, Some(_)) => false,
            (_, Some(qualifier)) if *qualifier == PUBLISHED => false,
            _ => !target.name.contains('.'),
        }
    }

    /// Reads a name, and adds a message for each constraint that it breaks. `None` if it isn't of this form.
    pub(crate) fn read<'a>(
        self,
        field: &str,
        text: &'a str,
        broken: &mut Vec<String>,
    ) -> Option<Target<'a>> {
        let mut told = |constraint: Constraint<'_>| broken.push(constraint.broken_by(field, text));
        let max = self.length_max();
        if text.is_empty() {
            told(Constraint::LengthMin(1));
        }
        if text.len() > max && text.chars().count() > max {
            told(Constraint::LengthMax(max));
        }
        let target = parse(text).filter(|target| self.takes(target));
        if target.is_none() {
            told(Constraint::Pattern(self.pattern()));
        }
        target
    }
}

/// Checks a qualifier, and adds a message for each constraint that it breaks (NAM-06).
pub(crate) fn check_qualifier(field: &str, text: &str, broken: &mut Vec<String>) {
    let mut told = |constraint: Constraint<'_>| broken.push(constraint.broken_by(field, text));
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '$' | '_' | '-');
    if text.is_empty() {
        told(Constraint::LengthMin(1));
    }
    if text.len() > QUALIFIER_MAX && text.chars().count() > QUALIFIER_MAX {
        told(Constraint::LengthMax(QUALIFIER_MAX));
    }
    if text != PUBLISHED && (text.is_empty() || !text.chars().all(legal)) {
        told(Constraint::Pattern(QUALIFIER_PATTERN));
    }
}

impl<'a> Target<'a> {
    /// Reads a decoded path value and the query's qualifier.
    ///
    /// # Errors
    /// All that is wrong with both (NAM-05), or that they disagree (NAM-11).
    pub(crate) fn new(
        function: &'a str,
        qualifier: Option<Cow<'a, str>>,
    ) -> Result<Self, ApiError> {
        let mut broken = Vec::new();
        let target = Names::Namespaced.read("functionName", function, &mut broken);
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

    /// The function itself.
    pub(crate) fn unqualified(&self) -> Self {
        Self {
            qualifier: None,
            ..self.clone()
        }
    }

    /// NAM-12: only this region is here.
    pub(crate) fn check_region(&self, here: &str) -> Result<(), ApiError> {
        match self.region.filter(|region| *region != here) {
            None => Ok(()),
            Some(region) => Err(ApiError::not_found(format!(
                "Functions from '{region}' are not reachable in this region ('{here}')"
            ))),
        }
    }

    /// Does it name another account than this one, or another partition?
    pub(crate) fn is_foreign(&self, account: &str) -> bool {
        let partition = self.partition.is_some_and(|theirs| theirs != PARTITION);
        partition || self.is_of_another_account(account)
    }

    /// Does it name another account than this one?
    pub(crate) fn is_of_another_account(&self, account: &str) -> bool {
        self.account.is_some_and(|theirs| theirs != account)
    }

    /// The ARN of the function that is asked for, unqualified.
    pub(crate) fn arn(&self, region: &str, account: &str) -> String {
        let (partition, account) = (
            self.partition.unwrap_or(PARTITION),
            self.account.unwrap_or(account),
        );
        format!(
            "arn:{partition}:lambda:{region}:{account}:function:{}",
            self.name
        )
    }
}

/// NAM-02: every part but the name may be missing, and the longest reading counts.
fn parse(text: &str) -> Option<Target<'_>> {
    let (partition, rest) = match text.strip_prefix("arn:") {
        None => (None, text),
        Some(rest) => {
            let (partition, rest) = rest.split_once(':')?;
            if !is_partition(partition) {
                return None;
            }
            (Some(partition), rest.strip_prefix("lambda:")?)
        }
    };
    // AWS's model lets it be empty.
    let partition = partition.filter(|partition| !partition.is_empty());
    let options = |part: bool| match part {
        true => [true, false].as_slice(),
        false => [false].as_slice(),
    };
    let (with_region, after_region) = leading(rest, is_region);
    for &region in options(with_region.is_some()) {
        let rest = if region { after_region } else { rest };
        let (with_account, after_account) = leading(rest, is_account);
        for &account in options(with_account.is_some()) {
            let rest = if account { after_account } else { rest };
            let (word, after_word) = leading(rest, |part| part == "function");
            for &function in options(word.is_some()) {
                let rest = if function { after_word } else { rest };
                if let Some((name, qualifier)) = name(rest) {
                    return Some(Target {
                        name,
                        qualifier: qualifier.map(Cow::Borrowed),
                        partition,
                        region: with_region.filter(|_| region),
                        account: with_account.filter(|_| account),
                    });
                }
            }
        }
    }
    None
}

/// The part before the first colon if it is one of `those`, and what follows.
fn leading(text: &str, those: impl Fn(&str) -> bool) -> (Option<&str>, &str) {
    match text.split_once(':') {
        Some((part, rest)) if those(part) => (Some(part), rest),
        _ => (None, text),
    }
}

fn name(text: &str) -> Option<(&str, Option<&str>)> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let (name, qualifier) = match text.split_once(':') {
        Some((name, qualifier)) => (name, Some(qualifier)),
        None => (text, None),
    };
    let is_name = !name.is_empty() && name.chars().all(|c| word(c) || c == '.');
    let is_qualifier =
        |it: &str| matches!(it, "$LATEST" | PUBLISHED) || !it.is_empty() && it.chars().all(word);
    (is_name && qualifier.is_none_or(is_qualifier)).then_some((name, qualifier))
}

fn is_partition(text: &str) -> bool {
    let rest = text.strip_prefix("aws");
    text.is_empty()
        || rest.is_some_and(|rest| rest.chars().all(|c| c.is_ascii_alphabetic() || c == '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(&str, Option<String>)> {
        let target = Target::new(text, None).ok()?;
        Some((target.name, target.qualifier.map(Cow::into_owned)))
    }

    /// NAM-01, NAM-02, NAM-09
    #[test]
    fn names_and_arns_of_any_length_are_read() {
        let arn = "arn:aws:lambda:us-east-1:000000000000:function";
        let plain = |name: &'static str| Some((name, None));
        let live = Some(("f", Some("live".to_owned())));
        assert_eq!(read("f"), plain("f"));
        assert_eq!(read("f:live"), live);
        assert_eq!(read("000000000000:function:f"), plain("f"));
        assert_eq!(read("000000000000:f:live"), live);
        assert_eq!(read("us-gov-west-1:000000000000:function:f:live"), live);
        assert_eq!(read(&format!("{arn}:f")), plain("f"));
        assert_eq!(read(&format!("{arn}:f:live")), live);
        assert_eq!(
            read(&format!("{arn}:f:$LATEST")).unwrap().1.as_deref(),
            Some("$LATEST")
        );
        assert_eq!(
            read("arn:aws-us-gov:lambda:us-gov-west-1:000000000000:function:f"),
            plain("f")
        );
        assert_eq!(read(arn), plain("function"));
        assert_eq!(read("function:$LATEST").unwrap().0, "function");
        assert_eq!(read("000000000000"), plain("000000000000"));
        assert_eq!(read("name.space"), plain("name.space"));
    }

    /// NAM-04, NAM-08
    #[test]
    fn what_is_no_name_is_a_validation_error() {
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
            let error = Target::new(text, None).unwrap_err();
            assert_eq!(error.code(), "ValidationException", "{text}");
            let begins = format!(
                "1 validation error detected: Value '{text}' at 'functionName' failed to satisfy constraint: "
            );
            assert!(error.message().starts_with(&begins), "{}", error.message());
        }
    }

    /// NAM-02
    #[test]
    fn regions_have_two_or_three_words_and_a_digit() {
        for region in [
            "us-east-1",
            "us-gov-west-1",
            "us-gov-1",
            "us-iso-east-1",
            "us-isob-east-1",
            "eu-isoe-west-1",
            "eusc-de-east-1",
        ] {
            assert!(is_region(region), "{region}");
        }
        for text in [
            "",
            "us",
            "us-east",
            "us-east-",
            "us-east-1-",
            "us-gov-west-1-",
            "us-east-1-1",
            "us-gov-west-1-1",
            "us-isob1-east-1",
            "us-isobb-east-1",
            "us-isoB-east-1",
            "us-other-east-1",
            "eusc-east-1",
            "eusc-",
            "us-east-11",
            "US-east-1",
            "usa-east-1",
            "us--1",
            "us-gov--1",
        ] {
            assert!(!is_region(text), "{text}");
        }
    }

    /// NAM-07
    #[test]
    fn a_name_that_is_too_long_for_a_function_is_a_name_all_the_same() {
        let name = "f".repeat(65);
        assert_eq!(read(&name).unwrap().0, name);
        let long = "f".repeat(257);
        let error = Target::new(&long, None).unwrap_err();
        assert!(
            error.message().ends_with("less than or equal to 256"),
            "{}",
            error.message()
        );
    }

    /// NAM-05, NAM-06, NAM-10
    #[test]
    fn all_faults_are_told_at_once() {
        let long = "q".repeat(129);
        for (qualifier, count) in [("a b", 2), ("", 3), (&long, 2)] {
            let error = Target::new("a b", Some(qualifier.into())).unwrap_err();
            let begins =
                format!("{count} validation errors detected: Value 'a b' at 'functionName'");
            assert!(error.message().starts_with(&begins), "{}", error.message());
            assert!(error.message().contains("; Value '"));
            assert!(error.message().contains("at 'qualifier'"));
        }
        Target::new("f", Some("$latest".into())).unwrap();
        Target::new("f", Some("$LATEST.PUBLISHED".into())).unwrap();
    }

    /// NAM-01, NAM-02, NAM-03
    #[test]
    fn each_form_of_a_name_has_its_length_and_its_pattern() {
        let broken = |names: Names, text: &str| {
            let mut broken = Vec::new();
            let _ = names.read("functionName", text, &mut broken);
            broken.len()
        };
        use Names::{Namespaced, Plain, Unqualified};
        let (long, bad) = ("f".repeat(141), "!".repeat(257));
        for (text, faults) in [
            ("f", [0, 0, 0]),
            ("", [2, 2, 2]),
            ("f:live", [0, 0, 1]),
            ("f:$LATEST", [0, 0, 1]),
            ("f:$LATEST.PUBLISHED", [0, 1, 1]),
            ("name.space", [0, 1, 1]),
            ("us-isob-east-1:000000000000:function:f", [0, 0, 0]),
            ("function:f", [0, 0, 0]),
            (&long, [0, 1, 1]),
            (&bad, [2, 2, 2]),
        ] {
            let found = [Namespaced, Plain, Unqualified].map(|names| broken(names, text));
            assert_eq!(found, faults, "{text}");
        }
    }

    /// NAM-11
    #[test]
    fn two_qualifiers_must_agree() {
        let target = Target::new("f:live", Some("live".into())).unwrap();
        assert_eq!(target.qualifier.as_deref(), Some("live"));
        let error = Target::new("f:live", Some("dead".into())).unwrap_err();
        assert_eq!(error.code(), "InvalidParameterValueException");
        assert_eq!(
            error.message(),
            "The derived qualifier from the function name does not match the specified qualifier."
        );
    }

    /// NAM-12
    #[test]
    fn another_region_is_out_of_reach() {
        let target = Target::new("us-east-2:000000000000:f", None).unwrap();
        let error = target.check_region("us-east-1").unwrap_err();
        assert_eq!(
            error.message(),
            "Functions from 'us-east-2' are not reachable in this region ('us-east-1')"
        );
        target.check_region("us-east-2").unwrap();
        assert!(target.is_foreign("111111111111") && !target.is_foreign("000000000000"));
    }

    /// NAM-13
    #[test]
    fn another_partition_is_another_function() {
        let arn =
            |partition: &str| format!("arn:{partition}:lambda:us-east-1:000000000000:function:f");
        for (partition, foreign) in [("aws", false), ("", false), ("aws-cn", true)] {
            let asked = arn(partition);
            let target = Target::new(&asked, None).unwrap();
            assert_eq!(target.is_foreign("000000000000"), foreign, "{partition}");
            let named = if foreign { partition } else { "aws" };
            assert_eq!(target.arn("us-east-1", "000000000000"), arn(named));
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_and_what_is_read_was_there(text in ".{0,300}", qualifier in ".{0,140}") {
            if let Ok(target) = Target::new(&text, Some(qualifier.into())) {
                assert!(text.contains(target.name));
            }
        }
    }
}
