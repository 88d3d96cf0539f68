//! Bytes as text: hex both ways, base64 read. Decoded bytes may be a key, so they are erased when dropped.

use zeroize::Zeroizing;

/// Returns two lower-case digits per byte. The text is allocated once, so that no copy of a key stays behind.
pub(super) fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)].into());
        text.push(DIGITS[usize::from(byte & 15)].into());
    }
    text
}

/// Returns the bytes of an even number of digits of either case; `None` for any other text.
pub(super) fn from_hex(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() / 2));
    for pair in text.chunks_exact(2) {
        bytes.push(hex_digit(pair[0])? << 4 | hex_digit(pair[1])?);
    }
    Some(bytes)
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Returns the bytes of base64 in the standard alphabet or the one for URLs, padded or not; `None` for any other text.
/// The spare bits of the last digit must be zero.
pub(super) fn from_base64(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let digits = unpadded(text)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(digits.len() * 3 / 4));
    let (mut bits, mut held) = (0_u32, 0);
    for &digit in digits {
        bits = bits << 6 | u32::from(base64_digit(digit)?);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    (held < 6 && bits == 0).then_some(bytes)
}

/// Returns the text without its padding; `None` for incomplete padding.
fn unpadded(text: &[u8]) -> Option<&[u8]> {
    let end = text.iter().rposition(|&c| c != b'=').map_or(0, |at| at + 1);
    let padding = text.len() - end;
    (padding == 0 || padding < 3 && text.len().is_multiple_of(4)).then_some(&text[..end])
}

fn base64_digit(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base64(text: &str) -> Option<Vec<u8>> {
        from_base64(text.as_bytes()).map(|bytes| bytes.to_vec())
    }

    #[test]
    fn hex_reads_the_bytes_that_it_wrote() {
        let all: Vec<u8> = (0..=255).collect();
        let text = to_hex(&all);
        assert_eq!(*from_hex(text.as_bytes()).unwrap(), all);
        assert_eq!(*from_hex(text.to_uppercase().as_bytes()).unwrap(), all);
        assert!(from_hex(b"abc").is_none() && from_hex(b"0g").is_none());
    }

    /// RFC 4648, section 10
    #[test]
    fn base64_reads_the_vectors_of_its_rfc() {
        for (text, plain) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
            ("Zm9vYmE", "fooba"),
            ("Zm9vYmFy", "foobar"),
        ] {
            assert_eq!(base64(text).as_deref(), Some(plain.as_bytes()), "{text}");
        }
        assert_eq!(base64("+/+/"), base64("-_-_"));
        assert_eq!(base64("+/+/"), Some(vec![0xfb, 0xff, 0xbf]));
    }

    #[test]
    fn base64_refuses_texts_that_no_encoder_writes() {
        for text in [
            "Z",
            "Zm9vY",
            "Zh==",
            "Zm8==",
            "Zg=",
            "Zg===",
            "=",
            "==",
            "Z=g=",
            "Zm 9",
            "Zm9vYm\u{e4}",
        ] {
            assert_eq!(base64(text), None, "{text}");
        }
    }
}
