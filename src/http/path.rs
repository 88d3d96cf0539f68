//! The path of a request: its parts, and the variables that a route's pattern names.
//!
//! A path stays as the client encoded it until a handler decodes a variable, so that an encoded slash separates nothing.

use std::borrow::Cow;

use actix_web::HttpRequest;
use smallvec::SmallVec;

use super::error::ApiError;

/// More parts than any pattern has: a longer path matches none.
const PARTS_MAX: usize = 7;

/// Returns the path after the API's date, or after `/_redrive/`, as the client encoded it.
pub(crate) fn raw_tail(http: &HttpRequest) -> &str {
    let rest = http.match_info().unprocessed();
    let rest = rest.strip_prefix('/').unwrap_or(rest);
    let slashes = rest.matches('/').count();
    let path = http.uri().path();
    match path.rmatch_indices('/').nth(slashes) {
        Some((at, _)) => &path[at + 1..],
        None => path,
    }
}

/// Returns the parts of a path, at most one more than the longest pattern has. A trailing slash is ignored.
pub(crate) fn parts(path: &str) -> SmallVec<[&str; PARTS_MAX]> {
    let parts = path.trim_end_matches('/').split('/');
    parts.take(PARTS_MAX).collect()
}

/// The variables of a path by their names in the pattern, as the client encoded them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PathVariables<'a>(SmallVec<[(&'static str, &'a str); 2]>);

impl<'a> PathVariables<'a> {
    /// Matches a path against a pattern such as `functions/{function}/aliases/{alias}`, where `{}` takes any part without a
    /// name. Returns `None` if it doesn't match.
    pub(crate) fn matching(pattern: &'static str, parts: &[&'a str]) -> Option<Self> {
        let mut variables = SmallVec::new();
        let mut words = pattern.split('/');
        for &part in parts {
            let word = words.next()?;
            let variable = word
                .strip_prefix('{')
                .and_then(|rest| rest.strip_suffix('}'));
            match variable {
                None if word == part => {}
                None => return None,
                Some("") => {}
                Some(name) => variables.push((name, part)),
            }
        }
        words.next().is_none().then_some(Self(variables))
    }

    /// Returns a variable as the client encoded it, or `None` if the pattern has no such variable.
    pub(crate) fn raw(&self, name: &str) -> Option<&'a str> {
        let found = self.0.iter().find(|(variable, _)| *variable == name);
        found.map(|&(_, value)| value)
    }

    /// Returns a variable, decoded; empty if the pattern has no such variable.
    pub(crate) fn decoded(&self, name: &str) -> Result<Cow<'a, str>, ApiError> {
        decode(self.raw(name).unwrap_or_default())
    }
}

/// Returns a part of a path, decoded.
pub(crate) fn decode(part: &str) -> Result<Cow<'_, str>, ApiError> {
    if !part.contains('%') {
        return Ok(Cow::Borrowed(part));
    }
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        let decoded = match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(rest.next()), digit(rest.next()));
                high.zip(low).map(|(high, low)| (high * 16 + low) as u8)
            }
            byte => Some(byte),
        };
        bytes.push(decoded.ok_or_else(|| malformed(part))?);
    }
    let text = String::from_utf8(bytes).map_err(|_| malformed(part))?;
    Ok(Cow::Owned(text))
}

fn malformed(part: &str) -> ApiError {
    ApiError::invalid_parameter(format!("'{part}' in the path is not percent-encoded UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_path_is_decoded_once() {
        assert_eq!(decode("f%3Alive").unwrap(), "f:live");
        assert_eq!(decode("%24LATEST%2f").unwrap(), "$LATEST/");
        assert_eq!(decode("%2541").unwrap(), "%41");
        for faulty in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(
                decode(faulty).unwrap_err().code(),
                "InvalidParameterValueException"
            );
        }
    }

    #[test]
    fn a_pattern_names_the_variables_of_a_path() {
        let matching = |path| {
            let pattern = "functions/{function}/{}/{alias}";
            PathVariables::matching(pattern, &parts(path))
        };
        let variables = matching("functions/f%3A1/aliases/live/").unwrap();
        assert_eq!(variables.raw("function"), Some("f%3A1"));
        assert_eq!(variables.decoded("function").unwrap(), "f:1");
        assert_eq!(variables.raw("alias"), Some("live"));
        assert_eq!(variables.raw("id"), None);
        for other in [
            "functions/f/aliases",
            "functions/f/aliases/live/1",
            "layers/l/x/y",
            "",
        ] {
            assert_eq!(matching(other), None, "{other}");
        }
    }
}
