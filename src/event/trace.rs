//! The trace header `X-Amzn-Trace-Id` (XRY-01), and the length of a chain of invocations in it (REC-02).
//!
//! `Root=1-<8 hex>-<24 hex>;Parent=<16 hex>;Sampled=<0|1>;Lineage=…`. redrive reads only the lineage that it wrote itself and
//! passes others on.

use std::borrow::Cow;
use std::fmt::Write;
use std::time::SystemTime;

use crate::event::request_id::RequestId;

/// A caller's header in the form for the handler, and the length of the caller's chain.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Received<'a> {
    pub(crate) header: Cow<'a, str>,
    pub(crate) hops: u8,
}

/// Marks a lineage as redrive's, where AWS has a hash.
const MARK: &str = "72656472";

/// Maximum length of a header that is kept whole.
const HEADER_MAX: usize = 2_048;

/// Reads a caller's header. All pairs but `Self` are kept (XRY-01). AWS's keys may come in any case and are normalised. Of a
/// header that is too long, AWS's pairs are kept, or at least the root. Returns `None` for a header without a root.
pub(crate) fn received(header: &str) -> Option<Received<'_>> {
    let printable = header.chars().all(|c| (' '..='~').contains(&c));
    let root = pairs(header).find_map(|pair| value(pair, "Root"));
    let root = root.filter(|root| printable && is_root(root))?;
    let hops = pairs(header).find_map(|pair| lineage(value(pair, "Lineage")?));
    let fits = header.len() <= HEADER_MAX;
    let header = if fits && pairs(header).all(is_as_sent_on) {
        Cow::Borrowed(header)
    } else {
        let kept = pairs(header).filter(|pair| {
            let own = value(pair, "Self").is_some();
            !own && (fits || KEYS.iter().any(|key| value(pair, key).is_some()))
        });
        let kept: Vec<_> = kept.map(in_our_case).collect();
        let kept = Some(kept.join(";")).filter(|kept| kept.len() <= HEADER_MAX);
        Cow::Owned(kept.unwrap_or_else(|| format!("Root={root}")))
    };
    Some(Received {
        header,
        hops: hops.unwrap_or(0),
    })
}

/// Returns the header of the trace that begins with this invocation, which is not sampled (XRY-04). It is the same on every
/// attempt and does not reveal the request id.
pub(crate) fn beginning(id: RequestId, accepted: SystemTime) -> String {
    let since = accepted.duration_since(SystemTime::UNIX_EPOCH);
    let seconds = since.map_or(0, |since| since.as_secs() as u32);
    let digest = hmac_sha256::Hash::hash(id.as_uuid().as_bytes());
    let mut numbers = digest.chunks_exact(8).map(|bytes| {
        let bytes = bytes.try_into().unwrap_or_default();
        u64::from_be_bytes(bytes)
    });
    let mut next = || numbers.next().unwrap_or_default();
    let (high, low, parent) = (next() as u32, next(), next());
    format!("Root=1-{seconds:08x}-{high:08x}{low:016x};Parent={parent:016x};Sampled=0")
}

/// Returns the header for a request that is made by an invocation with `hops` others before it in its chain.
pub(crate) fn onward(header: &str, hops: u8) -> String {
    let mut onward = String::with_capacity(header.len() + 32);
    for pair in pairs(header) {
        if value(pair, "Lineage").and_then(lineage).is_none() {
            onward.push_str(pair);
            onward.push(';');
        }
    }
    let _ = write!(onward, "Lineage={}:{MARK}:0", hops.saturating_add(1));
    onward
}

fn pairs(header: &str) -> impl Iterator<Item = &str> {
    header
        .split(';')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
}

/// Returns the value of a pair with this key, in any case.
fn value<'h>(pair: &'h str, key: &str) -> Option<&'h str> {
    let (name, value) = pair.split_once('=')?;
    name.eq_ignore_ascii_case(key).then_some(value)
}

/// AWS's keys, in the case in which they are written: many readers accept no other.
const KEYS: [&str; 4] = ["Root", "Parent", "Sampled", "Lineage"];

fn is_as_sent_on(pair: &str) -> bool {
    value(pair, "Self").is_none() && matches!(in_our_case(pair), Cow::Borrowed(_))
}

fn in_our_case(pair: &str) -> Cow<'_, str> {
    let known = KEYS.iter().find_map(|key| Some((key, value(pair, key)?)));
    match known {
        Some((key, value)) if !pair.starts_with(key) => Cow::Owned(format!("{key}={value}")),
        _ => Cow::Borrowed(pair),
    }
}

fn lineage(value: &str) -> Option<u8> {
    let (hops, rest) = value.split_once(':')?;
    rest.strip_prefix(MARK)?.strip_prefix(':')?;
    hops.parse().ok()
}

fn is_root(root: &str) -> bool {
    let hex =
        |part: &str, length| part.len() == length && part.chars().all(|c| c.is_ascii_hexdigit());
    let mut parts = root.split('-');
    let known = (parts.next(), parts.next(), parts.next(), parts.next());
    matches!(known, (Some("1"), Some(time), Some(id), None) if hex(time, 8) && hex(id, 24))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const ROOT: &str = "Root=1-5759e988-bd862e3fe1be46a994272793";

    /// XRY-01, XRY-03
    #[test]
    fn all_pairs_of_a_caller_are_kept_but_self() {
        let header = format!("{ROOT};Parent=53995c3f42cd8ad8;Sampled=1;x=y");
        let read = received(&header).unwrap();
        assert!(matches!(read.header, Cow::Borrowed(same) if same == header));
        let with_self = format!("Self=1-67891234-12456789abcdef012345678;{header}");
        assert_eq!(received(&with_self).unwrap().header, header);
        let small = format!(
            "self=1-x;{};pArEnt=53995c3f42cd8ad8;x=y",
            ROOT.to_lowercase()
        );
        let expected = format!("{ROOT};Parent=53995c3f42cd8ad8;x=y");
        assert_eq!(received(&small).unwrap().header, expected);
        let ours = format!("ROOT={}", &ROOT[5..]);
        assert_eq!(received(&ours).unwrap().header, ROOT);
        let long = "y".repeat(HEADER_MAX);
        let extra = format!("x={long};{ROOT};Sampled=1");
        let expected = format!("{ROOT};Sampled=1");
        assert_eq!(received(&extra).unwrap().header, expected);
        let endless = format!("{ROOT};Lineage={long}");
        assert_eq!(received(&endless).unwrap().header, ROOT);
        for faulty in [
            "",
            "Root=2-5759e988-bd862e3fe1be46a994272793",
            "Root=1-5759e98-bd862e3fe1be46a994272793",
            "Parent=53995c3f42cd8ad8",
            "Root=1-5759e988-bd862e3fe1be46a99427279g",
            "Root=1-5759e988-bd862e3fe1be46a994272793;x=\n",
        ] {
            assert_eq!(received(faulty), None, "{faulty}");
        }
    }

    /// XRY-04
    #[test]
    fn the_header_of_a_new_trace_is_valid_and_not_sampled() {
        let accepted = SystemTime::UNIX_EPOCH + Duration::from_secs(0x5759_e988);
        let id = RequestId::new(1, 2, 3);
        let header = beginning(id, accepted);
        assert_eq!(received(&header).unwrap().header, header);
        assert!(header.starts_with("Root=1-5759e988-"), "{header}");
        assert!(header.ends_with(";Sampled=0"), "{header}");
        assert_eq!(header, beginning(id, accepted));
        // Also for an event that waited over an update of the crate.
        assert!(header.contains(";Parent=bf5cc1a0dc4bf46f;"), "{header}");
        assert_ne!(header, beginning(RequestId::new(1, 2, 4), accepted));
    }

    /// REC-02
    #[test]
    fn only_our_own_lineage_counts_the_chain() {
        let first = onward(ROOT, 0);
        assert_eq!(received(&first).unwrap().hops, 1);
        let second = onward(&first, 1);
        assert_eq!(received(&second).unwrap().hops, 2);
        assert_eq!(second.matches("Lineage").count(), 1);
        let theirs = format!("{ROOT};Lineage=25:a87bd80c:1");
        assert_eq!(received(&theirs).unwrap().hops, 0);
        let both = onward(&theirs, 3);
        assert!(both.contains("Lineage=25:a87bd80c:1"), "{both}");
        assert_eq!(received(&both).unwrap().hops, 4);
    }
}
