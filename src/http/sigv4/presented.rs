//! What a request claims: whose key it was signed with, when, over which headers. Nothing of it is believed yet.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{SignatureError, SignedRequest, unhex};

/// The signature and what is said of it.
#[derive(Debug)]
pub(super) struct Presented<'a> {
    pub(super) form: Form,
    pub(super) access_key_id: &'a str,
    /// Date, region, service and terminator.
    pub(super) scope: Cow<'a, str>,
    pub(super) scope_parts: [&'a str; 4],
    /// `YYYYMMDDThhmmssZ`
    pub(super) date_time: &'a str,
    signed_at: SystemTime,
    expires: Option<Duration>,
    pub(super) signed_headers: Cow<'a, str>,
    pub(super) signature: [u8; 32],
    pub(super) session_token: Option<&'a str>,
}

/// Where the signature stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Header,
    /// Presigned.
    Query,
}

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// Longest list of signed headers.
const SIGNED_HEADERS_MAX: usize = 4_096;
/// Most headers, and parameters of a query.
const PARTS_MAX: usize = 1_000;
/// A week: the longest that a presigned URL may hold.
const EXPIRES_MAX: u64 = 604_800;

impl Form {
    pub(super) fn of(request: &SignedRequest<'_>) -> Option<Self> {
        if header(request, "authorization").is_some() {
            return Some(Self::Header);
        }
        let presigned = parameters(request.query)
            .any(|(name, _)| name == "X-Amz-Signature" || name == "X-Amz-Algorithm");
        presigned.then_some(Self::Query)
    }
}

impl<'a> Presented<'a> {
    /// SIG-01, SIG-02
    pub(super) fn read(request: &SignedRequest<'a>) -> Result<Self, SignatureError> {
        let parts = request.headers.len().max(parameters(request.query).count());
        if parts > PARTS_MAX {
            return Err(incomplete(format!(
                "Request has more than {PARTS_MAX} headers or parameters"
            )));
        }
        match Form::of(request).ok_or(SignatureError::Missing)? {
            Form::Header => Self::read_header(request),
            Form::Query => Self::read_query(request),
        }
    }

    fn read_header(request: &SignedRequest<'a>) -> Result<Self, SignatureError> {
        let mut found = request
            .headers
            .iter()
            .filter(|(name, _)| *name == "authorization");
        let (Some((_, value)), None) = (found.next(), found.next()) else {
            return Err(incomplete("Authorization header must be given once"));
        };
        if parameters(request.query).any(|(name, _)| name == "X-Amz-Signature") {
            return Err(incomplete(
                "Authorization header and X-Amz-Signature parameter exclude each other",
            ));
        }
        let value = std::str::from_utf8(value)
            .map_err(|_| incomplete("Authorization header is no text"))?;
        let Some(rest) = value
            .strip_prefix(ALGORITHM)
            .filter(|rest| rest.starts_with([' ', ',']))
        else {
            return Err(incomplete(format!(
                "Authorization header requires the algorithm {ALGORITHM}"
            )));
        };
        let (mut credential, mut signed, mut signature) = (None, None, None);
        for pair in rest
            .split(',')
            .map(str::trim)
            .filter(|pair| !pair.is_empty())
        {
            let Some((name, value)) = pair.split_once('=') else {
                return Err(incomplete(format!(
                    "'{pair}' not a valid key=value pair (missing equal-sign) in Authorization header"
                )));
            };
            let slot = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed,
                "Signature" => &mut signature,
                _ => {
                    return Err(incomplete(format!(
                        "'{name}' is unknown in Authorization header"
                    )));
                }
            };
            if slot.replace(value).is_some() {
                return Err(incomplete(format!(
                    "'{name}' stands twice in Authorization header"
                )));
            }
        }
        let needed = |value: Option<&'a str>, name: &str| {
            value.ok_or_else(|| {
                incomplete(format!("Authorization header requires '{name}' parameter"))
            })
        };
        let credential = needed(credential, "Credential")?;
        let signature = needed(signature, "Signature")?;
        let signed = needed(signed, "SignedHeaders")?;
        let date_time = text_header(request, "x-amz-date")?.ok_or_else(|| {
            incomplete("Authorization header requires existence of an 'X-Amz-Date' header")
        })?;
        let (access_key_id, scope, parts) = split_credential(credential)?;
        Ok(Self {
            form: Form::Header,
            access_key_id,
            scope: Cow::Borrowed(scope),
            scope_parts: parts,
            date_time,
            signed_at: read_time(date_time)?,
            expires: None,
            signed_headers: Cow::Borrowed(signed),
            signature: read_signature(signature)?,
            session_token: text_header(request, "x-amz-security-token")?,
        })
    }

    /// Values are kept as they were sent, but for those that AWS's clients encode: `/` and `;`.
    fn read_query(request: &SignedRequest<'a>) -> Result<Self, SignatureError> {
        let once = |name: &str| {
            let mut found = parameters(request.query).filter(|(key, _)| *key == name);
            match (found.next(), found.next()) {
                (first, None) => Ok(first.map(|(_, value)| value)),
                _ => Err(incomplete(format!("{name} must be given once"))),
            }
        };
        let needed = |name: &str| {
            once(name)?.ok_or_else(|| {
                incomplete(format!("AWS query-string parameters must include '{name}'"))
            })
        };
        if needed("X-Amz-Algorithm")? != ALGORITHM {
            return Err(incomplete(format!("X-Amz-Algorithm must be {ALGORITHM}")));
        }
        let credential = needed("X-Amz-Credential")?;
        let date_time = needed("X-Amz-Date")?;
        let expires: Option<u64> = needed("X-Amz-Expires")?.parse().ok();
        let expires = expires.filter(|expires| (1..=EXPIRES_MAX).contains(expires));
        let expires = expires.ok_or_else(|| {
            incomplete(format!(
                "X-Amz-Expires must be a number from 1 to {EXPIRES_MAX}"
            ))
        })?;
        let signed = needed("X-Amz-SignedHeaders")?;
        let signature = needed("X-Amz-Signature")?;
        let token = once("X-Amz-Security-Token")?;
        let slash = "%2F";
        let mut parts = credential.split(slash);
        let all = [(); 5].map(|()| parts.next());
        let [
            Some(access_key_id),
            Some(date),
            Some(region),
            Some(service),
            Some(terminator),
        ] = all
        else {
            return Err(malformed_credential(credential));
        };
        if parts.next().is_some() {
            return Err(malformed_credential(credential));
        }
        Ok(Self {
            form: Form::Query,
            access_key_id,
            scope: Cow::Owned([date, region, service, terminator].join("/")),
            scope_parts: [date, region, service, terminator],
            date_time,
            signed_at: read_time(date_time)?,
            expires: Some(Duration::from_secs(expires)),
            signed_headers: Cow::Owned(signed.replace("%3B", ";")),
            signature: read_signature(signature)?,
            session_token: token,
        })
    }

    // --- checks

    /// SIG-03
    pub(super) fn check_scope(&self, here: &str) -> Result<(), SignatureError> {
        let [date, region, service, terminator] = self.scope_parts;
        let problem = if terminator != "aws4_request" {
            format!(
                "Credential should be scoped with a valid terminator: 'aws4_request', not '{terminator}'."
            )
        } else if service != "lambda" {
            format!("Credential should be scoped to correct service: 'lambda', not '{service}'.")
        } else if region != here {
            format!("Credential should be scoped to a valid region: '{here}', not '{region}'.")
        } else if Some(date) != self.date_time.get(..8) {
            format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{date}' != '{}', from '{}'.",
                self.date_time.get(..8).unwrap_or_default(),
                self.date_time
            )
        } else {
            return Ok(());
        };
        Err(SignatureError::Scope(problem))
    }

    /// SIG-04
    pub(super) fn check_time(
        &self,
        window: Duration,
        now: SystemTime,
    ) -> Result<(), SignatureError> {
        let signed = self.date_time;
        if self.signed_at > now + window {
            return Err(SignatureError::Time(format!(
                "Signature not yet current: {signed} is still later than {} ({} + {} min.)",
                iso(now + window),
                iso(now),
                window.as_secs() / 60
            )));
        }
        let until = self.valid_until(window);
        if until < now {
            return Err(SignatureError::Time(format!(
                "Signature expired: {signed} is now earlier than {}: it was valid until {}",
                iso(now),
                iso(until)
            )));
        }
        Ok(())
    }

    /// How long the signature may be used.
    pub(super) fn valid_until(&self, window: Duration) -> SystemTime {
        self.signed_at + self.expires.unwrap_or(window)
    }

    /// SIG-09: what the request means must be signed: the host, and all of AWS's own headers.
    pub(super) fn check_signed(&self, request: &SignedRequest<'_>) -> Result<(), SignatureError> {
        let list = &*self.signed_headers;
        if list.len() > SIGNED_HEADERS_MAX {
            return Err(incomplete(format!(
                "SignedHeaders has more than {SIGNED_HEADERS_MAX} bytes"
            )));
        }
        let names = || list.split(';');
        let lower = |name: &str| {
            !name.is_empty()
                && !name
                    .bytes()
                    .any(|byte| byte.is_ascii_uppercase() || byte <= b' ')
        };
        let sorted = names().zip(names().skip(1)).all(|(one, next)| one < next);
        if !sorted || !names().all(lower) {
            return Err(incomplete(
                "SignedHeaders must be sorted names in lower case, each once",
            ));
        }
        let has = |name: &str| names().any(|signed| signed == name);
        if !has("host") {
            return Err(unsigned(
                "'Host' must be a 'SignedHeader' in the AWS Authorization.",
            ));
        }
        if self.form == Form::Header && !has("x-amz-date") {
            return Err(unsigned(
                "'X-Amz-Date' must be a 'SignedHeader' in the AWS Authorization.",
            ));
        }
        let loose = request
            .headers
            .iter()
            .find(|(name, _)| name.starts_with("x-amz-") && !has(name));
        if let Some((name, _)) = loose {
            return Err(unsigned(format!(
                "There were headers present in the request which were not signed: {name}"
            )));
        }
        let absent = names().find(|name| header(request, name).is_none());
        match absent {
            None => Ok(()),
            Some(name) => Err(unsigned(format!(
                "'{name}' is signed and not in the request"
            ))),
        }
    }

    /// The body's hash, if the request says it. Only hashes are taken: a body that isn't signed may be anybody's.
    pub(super) fn announced_hash(
        &self,
        request: &SignedRequest<'_>,
    ) -> Result<Option<String>, SignatureError> {
        let Some(hash) = text_header(request, "x-amz-content-sha256")? else {
            return Ok(None);
        };
        match unhex(hash) {
            Some(_) => Ok(Some(hash.to_owned())),
            None => Err(incomplete(format!(
                "x-amz-content-sha256 must be the body's SHA-256 in lower-case hex, not '{hash}': unsigned and streamed bodies are not accepted"
            ))),
        }
    }
}

// --- reading

pub(super) fn header<'a>(request: &SignedRequest<'a>, name: &str) -> Option<&'a [u8]> {
    let found = request.headers.iter().find(|(key, _)| *key == name);
    found.map(|(_, value)| *value)
}

/// A header that may be given once, as text.
fn text_header<'a>(
    request: &SignedRequest<'a>,
    name: &str,
) -> Result<Option<&'a str>, SignatureError> {
    let mut all = request.headers.iter().filter(|(key, _)| *key == name);
    match (all.next(), all.next()) {
        (None, _) => Ok(None),
        (Some((_, value)), None) => std::str::from_utf8(value)
            .map(|text| Some(text.trim()))
            .map_err(|_| incomplete(format!("{name} is no text"))),
        (Some(_), Some(_)) => Err(incomplete(format!("{name} must be given once"))),
    }
}

/// The parameters of a query, as they were sent.
pub(super) fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Key id, scope, and the scope's parts.
fn split_credential(text: &str) -> Result<(&str, &str, [&str; 4]), SignatureError> {
    // Key ids hold no slash, so what follows the first is the scope.
    let split = text.split_once('/');
    let (id, scope) = split.ok_or_else(|| malformed_credential(text))?;
    let mut parts = scope.split('/');
    let all = [(); 4].map(|()| parts.next());
    match (all, parts.next()) {
        ([Some(date), Some(region), Some(service), Some(terminator)], None) if !id.is_empty() => {
            Ok((id, scope, [date, region, service, terminator]))
        }
        _ => Err(malformed_credential(text)),
    }
}

fn malformed_credential(text: &str) -> SignatureError {
    incomplete(format!(
        "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{text}'"
    ))
}

fn read_signature(text: &str) -> Result<[u8; 32], SignatureError> {
    unhex(text).ok_or_else(|| incomplete("Signature must be 64 lower-case hex digits"))
}

/// `YYYYMMDDThhmmssZ`
fn read_time(text: &str) -> Result<SystemTime, SignatureError> {
    let refuse = || {
        incomplete(format!(
            "Date must be in ISO-8601 'basic format'. Got '{text}'. See http://en.wikipedia.org/wiki/ISO_8601"
        ))
    };
    let digits = |from: usize, to: usize| {
        let part = text
            .get(from..to)
            .filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
        part.ok_or_else(refuse)
    };
    if text.len() != 16 || text.get(8..9) != Some("T") || text.get(15..) != Some("Z") {
        return Err(refuse());
    }
    let (year, month, day) = (digits(0, 4)?, digits(4, 6)?, digits(6, 8)?);
    let (hour, minute, second) = (digits(9, 11)?, digits(11, 13)?, digits(13, 15)?);
    let long = format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z");
    humantime::parse_rfc3339(&long).map_err(|_| refuse())
}

fn iso(time: SystemTime) -> String {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let time = UNIX_EPOCH + Duration::from_secs(seconds);
    let long = humantime::format_rfc3339_seconds(time).to_string();
    long.replace(['-', ':'], "")
}

fn incomplete(problem: impl Into<String>) -> SignatureError {
    SignatureError::Incomplete(problem.into())
}

fn unsigned(problem: impl Into<String>) -> SignatureError {
    SignatureError::Unsigned(problem.into())
}
