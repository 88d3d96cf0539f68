//! The signature that a request presents, from its `Authorization` header or from the query of a presigned URL (SIG-01): the
//! credential, the date, the signed headers. Only its form is checked here; nothing is proven yet.

use std::borrow::Cow;

use super::error::{SignatureError, excerpt};
use super::query::CanonicalQuery;
use super::request::SignedRequest;
use super::timestamp::{Seconds, Timestamp};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const HEADER: &str = "Authorization header";
const PRESIGNED: &str = "AWS query-string authentication";
/// The parameter of a presigned URL that holds the signature, and therefore is not signed.
const SIGNATURE: &str = "X-Amz-Signature";
/// The date of the signature. Without it, `Date` counts.
const AMZ_DATE: &str = "x-amz-date";
const DATE: &str = "date";
/// The hash of the body.
const BODY_HASH: &str = "x-amz-content-sha256";
/// The longest `Authorization` header, in bytes.
const AUTHORIZATION_MAX: usize = 8 * 1024;
/// The longest list of signed headers, in bytes.
const SIGNED_HEADERS_MAX: usize = 4 * 1024;
/// The longest access key id, in bytes, as at AWS.
const ACCESS_KEY_MAX: usize = 128;
/// The longest lifetime of a presigned URL: a week, in seconds.
const EXPIRES_MAX: u64 = 7 * 24 * 60 * 60;

/// The form of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Header,
    /// In the query of a URL with this lifetime.
    Presigned(Seconds),
}

/// A signature and its claims, all of the right form.
pub(super) struct Presented<'a> {
    pub(super) form: Form,
    /// `access key/YYYYMMDD/region/service/aws4_request`.
    credential: Cow<'a, str>,
    pub(super) signed_at: Timestamp,
    /// The header with the date, which must be signed. A presigned URL has the date in its query, which is signed as a whole.
    dated_by: Option<&'static str>,
    /// Sorted lower-case names, with semicolons between.
    signed_headers: Cow<'a, str>,
    pub(super) signature: [u8; 32],
    pub(super) session_token: Option<Cow<'a, str>>,
    /// The hash that `x-amz-content-sha256` declares for the body.
    pub(super) body_hash: Option<[u8; 32]>,
}

/// The texts of a signature before they are checked.
struct Texts<'a> {
    form: Form,
    name: &'static str,
    credential: Option<Cow<'a, str>>,
    date: Option<Cow<'a, str>>,
    dated_by: Option<&'static str>,
    signed_headers: Option<Cow<'a, str>>,
    signature: Option<Cow<'a, str>>,
    session_token: Option<Cow<'a, str>>,
}

/// The parts of a credential scope.
pub(super) struct Scope<'p> {
    pub(super) access_key: &'p str,
    pub(super) day: &'p str,
    pub(super) region: &'p str,
    pub(super) service: &'p str,
    pub(super) terminator: &'p str,
}

impl<'a> Presented<'a> {
    pub(super) fn read(
        request: &SignedRequest<'a>,
        query: &'a CanonicalQuery,
    ) -> Result<Self, SignatureError> {
        let authorization = request.single("authorization")?;
        let is_presigned = ["X-Amz-Algorithm", "X-Amz-Credential", SIGNATURE]
            .into_iter()
            .any(|name| query.has(name));
        let texts = match (authorization, is_presigned) {
            (None, false) => return Err(SignatureError::Missing),
            (Some(_), true) => return Err(SignatureError::TwoForms),
            (Some(authorization), false) => Texts::of_header(authorization, request)?,
            (None, true) => Texts::of_query(query, request)?,
        };
        let presented = texts.check(request)?;
        presented.check_signed_headers(request)?;
        Ok(presented)
    }

    pub(super) fn scope(&self) -> Result<Scope<'_>, SignatureError> {
        let mut parts = self.credential.split('/');
        let mut next = || parts.next();
        match (next(), next(), next(), next(), next(), next()) {
            (Some(access_key), Some(day), Some(region), Some(service), Some(terminator), None)
                if (1..=ACCESS_KEY_MAX).contains(&access_key.len()) =>
            {
                Ok(Scope {
                    access_key,
                    day,
                    region,
                    service,
                    terminator,
                })
            }
            _ => Err(SignatureError::Malformed {
                what: "Credential",
                expected: "5 slash-delimited elements, keyid/date/region/service/term",
            }),
        }
    }

    /// Returns the name of the query parameter that is not signed, if there is one.
    pub(super) fn unsigned_parameter(&self) -> Option<&'static str> {
        (self.form != Form::Header).then_some(SIGNATURE)
    }

    pub(super) fn signed_headers(&self) -> Vec<&str> {
        self.signed_headers.split(';').collect()
    }

    /// Checks that the list has the canonical form and contains every header that decides what the request means.
    fn check_signed_headers(&self, request: &SignedRequest<'_>) -> Result<(), SignatureError> {
        let signed = self.signed_headers();
        let is_canonical = signed.is_sorted_by(|one, next| one < next)
            && signed.iter().all(|name| is_header_name(name));
        if !is_canonical {
            return Err(SignatureError::Malformed {
                what: "SignedHeaders",
                expected: "a sorted list of different lower-case names, with semicolons between",
            });
        }
        let needed = ["host"].into_iter().chain(self.dated_by);
        let meaning = request.names().filter(|name| is_amz(name));
        let unsigned = needed.chain(meaning).find(|name| {
            !signed
                .iter()
                .any(|signed| signed.eq_ignore_ascii_case(name))
        });
        match unsigned {
            Some(name) => Err(SignatureError::Unsigned {
                header: excerpt(name),
            }),
            None => Ok(()),
        }
    }
}

impl<'a> Texts<'a> {
    /// Reads `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`, in any order.
    fn of_header(
        authorization: &'a str,
        request: &SignedRequest<'a>,
    ) -> Result<Self, SignatureError> {
        if authorization.len() > AUTHORIZATION_MAX {
            return Err(SignatureError::TooLong {
                what: "Authorization header",
                limit: AUTHORIZATION_MAX,
            });
        }
        let (algorithm, parameters) = authorization
            .split_once([' ', '\t'])
            .unwrap_or((authorization, ""));
        check_algorithm(algorithm)?;
        let (dated_by, date) = match request.single(AMZ_DATE)? {
            Some(date) => (AMZ_DATE, Some(date)),
            None => (DATE, request.single(DATE)?),
        };
        let mut texts = Self {
            form: Form::Header,
            name: HEADER,
            credential: None,
            date: date.map(Cow::Borrowed),
            dated_by: Some(dated_by),
            signed_headers: None,
            signature: None,
            session_token: request.single("x-amz-security-token")?.map(Cow::Borrowed),
        };
        for piece in parameters.split(',') {
            texts.take(piece.trim_matches([' ', '\t']))?;
        }
        Ok(texts)
    }

    /// Reads one `name=value` of the header.
    fn take(&mut self, piece: &'a str) -> Result<(), SignatureError> {
        let (name, value) = piece
            .split_once('=')
            .ok_or_else(|| SignatureError::NotAPair {
                piece: excerpt(piece),
            })?;
        let (what, place) = match name {
            "Credential" => ("Credential", &mut self.credential),
            "SignedHeaders" => ("SignedHeaders", &mut self.signed_headers),
            "Signature" => ("Signature", &mut self.signature),
            _ => {
                return Err(SignatureError::Malformed {
                    what: "Authorization header",
                    expected: "made of Credential, SignedHeaders and Signature",
                });
            }
        };
        match place.replace(Cow::Borrowed(value)) {
            None => Ok(()),
            Some(_) => Err(SignatureError::Repeated { what }),
        }
    }

    fn of_query(
        query: &'a CanonicalQuery,
        request: &SignedRequest<'a>,
    ) -> Result<Self, SignatureError> {
        let algorithm = query
            .single("X-Amz-Algorithm")?
            .ok_or(SignatureError::Lacks {
                form: PRESIGNED,
                parameter: "X-Amz-Algorithm",
            })?;
        check_algorithm(&algorithm)?;
        let token = query.single("X-Amz-Security-Token")?;
        let other_token = request.single("x-amz-security-token")?;
        if token.is_some() && other_token.is_some() {
            return Err(SignatureError::Repeated {
                what: "X-Amz-Security-Token",
            });
        }
        let expires = query
            .single("X-Amz-Expires")?
            .ok_or(SignatureError::Lacks {
                form: PRESIGNED,
                parameter: "X-Amz-Expires",
            })?;
        Ok(Self {
            form: Form::Presigned(lifetime(&expires)?),
            name: PRESIGNED,
            credential: query.single("X-Amz-Credential")?,
            date: query.single("X-Amz-Date")?,
            dated_by: None,
            signed_headers: query.single("X-Amz-SignedHeaders")?,
            signature: query.single(SIGNATURE)?,
            session_token: token.or(other_token.map(Cow::Borrowed)),
        })
    }

    fn check(self, request: &SignedRequest<'_>) -> Result<Presented<'a>, SignatureError> {
        let form = self.name;
        let needed = |text: Option<Cow<'a, str>>, parameter| {
            text.ok_or(SignatureError::Lacks { form, parameter })
        };
        let credential = needed(self.credential, "Credential")?;
        let signed_headers = needed(self.signed_headers, "SignedHeaders")?;
        let signature = needed(self.signature, "Signature")?;
        let date = match self.form {
            Form::Header => self.date.ok_or(SignatureError::Undated)?,
            Form::Presigned(_) => needed(self.date, "X-Amz-Date")?,
        };
        if signed_headers.len() > SIGNED_HEADERS_MAX {
            return Err(SignatureError::TooLong {
                what: "list of signed headers",
                limit: SIGNED_HEADERS_MAX,
            });
        }
        // Two hosts would leave the request's destination open.
        request.single("host")?;
        Ok(Presented {
            form: self.form,
            credential,
            signed_at: read_date(&date, self.dated_by)?,
            dated_by: self.dated_by,
            signed_headers,
            signature: digest(&signature).ok_or(SignatureError::Malformed {
                what: "Signature",
                expected: "64 lower-case hexadecimal digits",
            })?,
            session_token: self.session_token,
            body_hash: declared_body_hash(request)?,
        })
    }
}

/// Reads the date. The header `Date` may have the HTTP form too.
fn read_date(text: &str, by: Option<&str>) -> Result<Timestamp, SignatureError> {
    let basic = Timestamp::parse(text);
    let (date, what, expected) = match by {
        Some(DATE) => (
            basic.or_else(|| Timestamp::parse_http(text)),
            "Date",
            "a date such as 20150830T123600Z or Sun, 30 Aug 2015 12:36:00 GMT",
        ),
        _ => (basic, "X-Amz-Date", "a date such as 20150830T123600Z"),
    };
    date.ok_or(SignatureError::Malformed { what, expected })
}

fn check_algorithm(named: &str) -> Result<(), SignatureError> {
    if named == ALGORITHM {
        return Ok(());
    }
    Err(SignatureError::Algorithm {
        named: excerpt(named),
    })
}

fn lifetime(expires: &str) -> Result<Seconds, SignatureError> {
    let is_number = expires.bytes().all(|byte| byte.is_ascii_digit());
    match expires.parse() {
        Ok(seconds @ 1..=EXPIRES_MAX) if is_number => Ok(Seconds(seconds)),
        _ => Err(SignatureError::Malformed {
            what: "X-Amz-Expires",
            expected: "a number of seconds from 1 to 604800",
        }),
    }
}

fn declared_body_hash(request: &SignedRequest<'_>) -> Result<Option<[u8; 32]>, SignatureError> {
    let Some(text) = request.single(BODY_HASH)? else {
        return Ok(None);
    };
    if text == "UNSIGNED-PAYLOAD" || text.starts_with("STREAMING-") {
        return Err(SignatureError::UnsignedBody {
            named: excerpt(text),
        });
    }
    match digest(text) {
        Some(hash) => Ok(Some(hash)),
        None => Err(SignatureError::Malformed {
            what: "x-amz-content-sha256",
            expected: "64 lower-case hexadecimal digits",
        }),
    }
}

/// Reads a SHA-256 in lower-case hexadecimal digits.
fn digest(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let decoded = base16ct::lower::decode(text, &mut bytes).ok()?;
    (decoded.len() == 32).then_some(bytes)
}

/// Returns whether the header must be signed: every `x-amz-*` header changes what the request does, except the body's hash,
/// which the signature covers as the last line of the canonical request in any case.
fn is_amz(name: &str) -> bool {
    let is_amz = name
        .get(..6)
        .is_some_and(|start| start.eq_ignore_ascii_case("x-amz-"));
    is_amz && !name.eq_ignore_ascii_case(BODY_HASH)
}

/// Returns whether the name consists of token characters (RFC 9110) in lower case.
fn is_header_name(name: &str) -> bool {
    let is_token = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte)
    };
    !name.is_empty() && name.bytes().all(is_token)
}
