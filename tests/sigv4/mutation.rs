//! Changes that an attacker could make to a signed request on its way.

use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;

use crate::sent_request::Sent;

type Change = fn(&mut Sent, &mut SmallRng) -> Option<()>;

const CHANGES: &[(&str, Change)] = &[
    ("method", method),
    ("path", |sent, chance| text(&mut sent.path, chance)),
    ("query", |sent, chance| text(&mut sent.query, chance)),
    ("parameter more", parameter_more),
    ("parameter less", parameter_less),
    ("signed header's value", signed_value),
    ("signed header less", signed_less),
    ("signed header twice", signed_twice),
    ("header unsigned", unsigned),
    ("header said to be signed", said_to_be_signed),
    ("x-amz header more", amz_more),
    ("body", body),
    ("signature", |sent, chance| {
        credential_part(sent, chance, "Signature")
    }),
    ("credential", |sent, chance| {
        credential_part(sent, chance, "Credential")
    }),
    ("list of signed headers", |sent, chance| {
        credential_part(sent, chance, "SignedHeaders")
    }),
    ("date", date),
    ("session token", session_token),
    ("authorization", |sent, chance| {
        text(sent.header("authorization")?, chance)
    }),
    ("authorization more", authorization_more),
];

pub(crate) const KINDS: &[&str] = &{
    let mut kinds = [""; CHANGES.len()];
    let mut at = 0;
    while at < CHANGES.len() {
        kinds[at] = CHANGES[at].0;
        at += 1;
    }
    kinds
};

/// The request, changed in something that its signature covers, and in what.
pub(crate) fn of(sent: &Sent, chance: &mut SmallRng) -> (&'static str, Sent) {
    loop {
        let (kind, change) = CHANGES.choose(chance).unwrap();
        let mut changed = sent.clone();
        if change(&mut changed, chance).is_some() && changed.coverage() != sent.coverage() {
            return (kind, changed);
        }
    }
}

/// One character replaced, put in, taken out, or a range of them said twice.
fn text(text: &mut String, chance: &mut SmallRng) -> Option<()> {
    let mut chars: Vec<_> = text.chars().collect();
    let at = chance.random_range(0..=chars.len());
    // A digit is most often what keeps the form, so that more than the form is tried.
    let other = match chance.random() {
        true => char::from_digit(chance.random_range(0..16), 16)?,
        false => char::from(chance.random_range(b'!'..=b'~')),
    };
    match chance.random_range(0..4) {
        0 => *chars.get_mut(at)? = other,
        1 => chars.insert(at, other),
        2 if at < chars.len() => {
            chars.remove(at);
        }
        _ => {
            let range = at..chars.len().min(at + 5);
            chars.extend_from_within(range);
        }
    }
    *text = chars.into_iter().collect();
    Some(())
}

fn method(sent: &mut Sent, chance: &mut SmallRng) -> Option<()> {
    let others = ["GET", "PUT", "POST", "DELETE", "HEAD", "get", "", "POST "];
    sent.method = others.choose(chance)?.to_string();
    Some(())
}

fn parameter_more(sent: &mut Sent, chance: &mut SmallRng) -> Option<()> {
    let more = ["Qualifier=2", "a", "=", "Marker=", "X-Amz-Expires=60"].choose(chance)?;
    sent.query = match sent.query.as_str() {
        "" => (*more).to_owned(),
        query if chance.random() => format!("{query}&{more}"),
        query => format!("{more}&{query}"),
    };
    Some(())
}

fn parameter_less(sent: &mut Sent, chance: &mut SmallRng) -> Option<()> {
    let mut pieces: Vec<_> = sent.query.split('&').collect();
    pieces.remove(chance.random_range(0..pieces.len()));
    sent.query = pieces.join("&");
    Some(())
}

/// Where a header is that is signed.
fn signed(sent: &Sent, chance: &mut SmallRng) -> Option<usize> {
    let names = sent.signed_headers();
    let is_signed = |at: &usize| {
        let (name, _) = &sent.headers[*at];
        names.iter().any(|signed| signed.eq_ignore_ascii_case(name))
    };
    let all: Vec<_> = (0..sent.headers.len()).filter(is_signed).collect();
    all.choose(chance).copied()
}

fn signed_value(sent: &mut Sent, chance: &mut SmallRng) -> Option<()> {
    let at = signed(sent, chance)?;
    text(&mut sent.headers[at].1, chance)
}

fn signed_less(sent: &mut Sent, chance: &mut SmallRng) -> Option<()> {
    let at = signed(sent, chance)?;
    sent.headers.remove(at);
    Some(())
}

fn signed_twice(sent: &mut Sent, chance: &mut SmallRng) -> Option<()> {
    let at = signed(sent, chance)?;
    let twin = sent.headers[at].clone();
    sent.headers
        .insert(chance.random_range(0..=sent.headers.len()), twin);
    Some(())
}

/// The header stays, its name leaves the list.
fn unsigned(sent: &mut Sent, chance: &mut SmallRng) -> Option<()> {
    let mut names = sent.signed_headers();
    names.remove(chance.random_range(0..names.len()));
    list(sent, &names)
}

/// The name of a header that wasn't signed enters the list, in its place.
fn said_to_be_signed(sent: &mut Sent, chance: &mut SmallRng) -> Option<()> {
    let name = ["accept", "user-agent", "zz"].choose(chance)?;
    let mut names = sent.signed_headers();
    names.push((*name).to_owned());
    names.sort();
    sent.headers.push(((*name).to_owned(), "x".to_owned()));
    list(sent, &names)
}

fn list(sent: &mut Sent, names: &[String]) -> Option<()> {
    let (list, separator) = match sent.header("authorization") {
        Some(_) => ("SignedHeaders=", ","),
        None => ("X-Amz-SignedHeaders=", "&"),
    };
    let joined = names.join(if separator == "," { ";" } else { "%3B" });
    let place = if separator == "," {
        sent.header("authorization")?
    } else {
        &mut sent.query
    };
    let start = place.find(list)? + list.len();
    let end = place[start..]
        .find(separator)
        .map_or(place.len(), |length| start + length);
    place.replace_range(start..end, &joined);
    Some(())
}

fn amz_more(sent: &mut Sent, chance: &mut SmallRng) -> Option<()> {
    let more = [
        ("X-Amz-Invocation-Type", "RequestResponse"),
        ("x-amz-log-type", "Tail"),
        ("X-AMZ-Source-Arn", "arn:aws:s3:::bucket"),
        ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
        ("x-amz-security-token", "t"),
    ];
    let (name, value) = more.choose(chance)?;
    sent.headers.push(((*name).to_owned(), (*value).to_owned()));
    Some(())
}

fn body(sent: &mut Sent, chance: &mut SmallRng) -> Option<()> {
    let mut body = (*sent.body).clone();
    let at = chance.random_range(0..=body.len());
    match chance.random_range(0..3) {
        0 => *body.get_mut(at)? ^= 1 << chance.random_range(0..8),
        1 => body.insert(at, chance.random()),
        _ => body.truncate(at),
    }
    sent.set_body(body);
    Some(())
}

/// One character of a part of the signature, in the header or in the query.
fn credential_part(sent: &mut Sent, chance: &mut SmallRng, part: &str) -> Option<()> {
    let place = match sent
        .headers
        .iter()
        .position(|(name, _)| name == "Authorization")
    {
        Some(at) => &mut sent.headers[at].1,
        None => &mut sent.query,
    };
    let start = place.find(&format!("{part}="))? + part.len() + 1;
    let end = place[start..]
        .find([',', '&'])
        .map_or(place.len(), |length| start + length);
    let mut value = place[start..end].to_owned();
    text(&mut value, chance)?;
    place.replace_range(start..end, &value);
    Some(())
}

/// Another second, another day, or another character.
fn date(sent: &mut Sent, chance: &mut SmallRng) -> Option<()> {
    match sent.header("x-amz-date") {
        Some(date) => text(date, chance),
        None => credential_part(sent, chance, "X-Amz-Date"),
    }
}

fn session_token(sent: &mut Sent, chance: &mut SmallRng) -> Option<()> {
    match sent.header("x-amz-security-token") {
        Some(token) => text(token, chance),
        None => credential_part(sent, chance, "X-Amz-Security-Token"),
    }
}

fn authorization_more(sent: &mut Sent, chance: &mut SmallRng) -> Option<()> {
    let twin = sent.header("authorization").cloned();
    let others = ["AWS4-HMAC-SHA256 Credential=", "Bearer x", ""];
    let value = twin.unwrap_or_else(|| {
        others
            .choose(chance)
            .copied()
            .unwrap_or_default()
            .to_owned()
    });
    sent.headers.push(("Authorization".to_owned(), value));
    Some(())
}
