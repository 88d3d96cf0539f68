//! A name or ARN of a function in a request, taken apart (NAM-01, NAM-02): a name, a partial or a full ARN, each with or
//! without a qualifier.

use std::borrow::Cow;

use crate::event::meta::LATEST;
use crate::function::arn::{is_account, is_region};

/// The function that a request names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FunctionRef<'a> {
    /// The function's name.
    pub(crate) name: &'a str,
    /// The qualifier, from the name or the query, as given (NAM-16).
    pub(crate) qualifier: Option<Cow<'a, str>>,
    partition: Option<&'a str>,
    pub(super) region: Option<&'a str>,
    account: Option<&'a str>,
}

/// The partition of the ARNs here.
const PARTITION: &str = "aws";
pub(super) const PUBLISHED: &str = "$LATEST.PUBLISHED";

impl<'a> FunctionRef<'a> {
    /// Takes a name or ARN apart. Returns `None` if it is neither. Every part but the name may be missing, and the longest
    /// reading counts (NAM-02).
    pub(super) fn parse(text: &'a str) -> Option<Self> {
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
                        return Some(FunctionRef {
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

    /// Returns the function itself, without the qualifier.
    pub(crate) fn unqualified(&self) -> Self {
        Self {
            qualifier: None,
            ..self.clone()
        }
    }

    /// Returns the qualifier; `$LATEST` if none was given.
    pub(crate) fn qualifier_or_latest(&self) -> &str {
        self.qualifier.as_deref().unwrap_or(LATEST)
    }

    /// Returns whether it names another account than this one, or another partition.
    pub(crate) fn is_foreign(&self, account: &str) -> bool {
        let partition = self.partition.is_some_and(|theirs| theirs != PARTITION);
        partition || self.is_of_another_account(account)
    }

    /// Returns whether it names another account than this one.
    pub(crate) fn is_of_another_account(&self, account: &str) -> bool {
        self.account.is_some_and(|theirs| theirs != account)
    }

    /// Returns the ARN of the named function, unqualified.
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

/// Returns the part before the first colon if it is one of `those`, and the rest.
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
        let target = FunctionRef::parse(text)?;
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

    /// NAM-13
    #[test]
    fn another_partition_is_another_function() {
        let arn =
            |partition: &str| format!("arn:{partition}:lambda:us-east-1:000000000000:function:f");
        for (partition, foreign) in [("aws", false), ("", false), ("aws-cn", true)] {
            let asked = arn(partition);
            let target = FunctionRef::parse(&asked).unwrap();
            assert_eq!(target.is_foreign("000000000000"), foreign, "{partition}");
            let named = if foreign { partition } else { "aws" };
            assert_eq!(target.arn("us-east-1", "000000000000"), arn(named));
        }
    }
}
