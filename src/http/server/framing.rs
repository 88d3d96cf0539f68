//! Where a request ends, told strictly: what two readers could read differently is refused before any of it is carried out.
//!
//! actix-http's codec takes a bare LF for the end of a line, as some servers and proxies do and others don't. Were a proxy in
//! front to read a line, a chunk or a trailer to another end than this server, one client could put a request into another's
//! connection. So what comes is looked at here first: lines end in CRLF and nothing else, and hold no control characters.

/// Why a head can't be read in one way only.
pub(super) type Unclear = &'static str;

const BARE_LF: Unclear = "a line ends in LF alone, and must end in CRLF";
const CONTROL: Unclear = "a line holds a control character, such as a CR alone or a NUL";
const FOLDED: Unclear = "a header's line begins with white space";

/// Checks the lines of a head that have come so far, up to its end.
pub(super) fn check_head(received: &[u8]) -> Result<(), Unclear> {
    let mut rest = received;
    let mut begun = false;
    while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
        let line = rest[..end].strip_suffix(b"\r").ok_or(BARE_LF)?;
        match line {
            // Empty lines before a request count for nothing (RFC 9112, 2.2).
            [] if begun => return Ok(()),
            [] => {}
            [b' ' | b'\t', ..] if begun => return Err(FOLDED),
            line if has_control(line) => return Err(CONTROL),
            _ => begun = true,
        }
        rest = &rest[end + 1..];
    }
    Ok(())
}

/// Looks at all bytes, several at a time, where `any` would look at one after the other.
fn has_control(line: &[u8]) -> bool {
    line.iter().fold(false, |any, &byte| any | is_control(byte))
}

fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() & (byte != b'\t')
}

/// Follows the framing of a chunked body.
#[derive(Debug)]
pub(super) struct Chunks {
    at: At,
    size: u64,
    /// How many of the bytes that wait to be read were looked at.
    checked: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    SizeBegin,
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerBegin,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    End,
}

impl Chunks {
    pub(super) fn new() -> Self {
        Self {
            at: At::SizeBegin,
            size: 0,
            checked: 0,
        }
    }

    /// Checks what has come of the body. All of `received` that was checked before is still there.
    pub(super) fn check(&mut self, received: &[u8]) -> Result<(), Unclear> {
        while let Some(&byte) = received.get(self.checked)
            && self.at != At::End
        {
            if self.at == At::Data {
                let here = (received.len() - self.checked) as u64;
                let data = self.size.min(here);
                self.size -= data;
                self.checked += data as usize;
                if self.size == 0 {
                    self.at = At::DataCr;
                }
            } else {
                self.at = self.step(byte)?;
                self.checked += 1;
            }
        }
        Ok(())
    }

    /// So many bytes were read.
    pub(super) fn read(&mut self, bytes: usize) {
        self.checked = self.checked.saturating_sub(bytes);
    }

    fn step(&mut self, byte: u8) -> Result<At, Unclear> {
        let at = match (self.at, byte) {
            (At::SizeBegin | At::Size, digit) if digit.is_ascii_hexdigit() => {
                self.add_digit(digit)?;
                At::Size
            }
            (At::Size, b';') => At::Extension,
            (At::Size | At::Extension, b'\r') => At::SizeLf,
            (At::SizeLf, b'\n') if self.size == 0 => At::TrailerBegin,
            (At::SizeLf, b'\n') => At::Data,
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => At::SizeBegin,
            (At::TrailerBegin, b'\r') => At::EndLf,
            (At::TrailerBegin, b' ' | b'\t') => return Err(FOLDED),
            (At::TrailerName, b':') => At::TrailerValue,
            (At::TrailerBegin | At::TrailerName, name) if is_token(name) => At::TrailerName,
            (At::TrailerValue, b'\r') => At::TrailerLf,
            (At::TrailerLf, b'\n') => At::TrailerBegin,
            (At::EndLf, b'\n') => At::End,
            (_, b'\n') => return Err(BARE_LF),
            (At::Extension | At::TrailerValue, byte) if is_control(byte) => return Err(CONTROL),
            (At::Extension | At::TrailerValue, _) => self.at,
            (At::SizeBegin | At::Size, _) => return Err("its size is no hexadecimal number"),
            (At::DataCr, _) => return Err("its data is longer than its size"),
            (At::TrailerBegin | At::TrailerName, _) => return Err("a trailer's name is no token"),
            _ => return Err(CONTROL),
        };
        Ok(at)
    }

    fn add_digit(&mut self, digit: u8) -> Result<(), Unclear> {
        let digit = char::from(digit).to_digit(16).unwrap_or(0);
        let size = self.size.checked_mul(16).ok_or("its size is too large")?;
        self.size = size + u64::from(digit);
        Ok(())
    }
}

/// A character of a header's name (RFC 9110, 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_whose_lines_end_in_crlf_is_clear() {
        for head in [
            "",
            "GET",
            "GET / HTTP/1.1\r",
            "GET / HTTP/1.1\r\nHost: a\r\n",
            "\r\nGET / HTTP/1.1\r\nHost:\ta \u{e9}\r\n\r\n",
            // What comes behind it is another matter.
            "GET / HTTP/1.1\r\n\r\n\n\0",
        ] {
            assert_eq!(check_head(head.as_bytes()), Ok(()), "{head:?}");
        }
    }

    #[test]
    fn a_head_that_can_be_read_in_two_ways_is_not() {
        for (head, why) in [
            ("GET / HTTP/1.1\n", BARE_LF),
            ("\nGET / HTTP/1.1\r\n", BARE_LF),
            ("GET / HTTP/1.1\r\nHost: a\n\r\n", BARE_LF),
            ("GET / HTTP/1.1\r\nHost: a\r\n\n", BARE_LF),
            ("GET / HTTP/1.1\r\nHost: a\rB: c\r\n\r\n", CONTROL),
            ("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", CONTROL),
            ("GET / HTTP/1.1\r\nHost: a\0\r\n", CONTROL),
            ("GET / HTTP/1.1\r\nHost: a\x0b\r\n", CONTROL),
            ("GET / HTTP/1.1\r\nHost: a\r\n b\r\n", FOLDED),
            ("GET / HTTP/1.1\r\n\tHost: a\r\n", FOLDED),
        ] {
            assert_eq!(check_head(head.as_bytes()), Err(why), "{head:?}");
        }
    }

    /// However the bytes of it come.
    fn check(body: &str) -> Result<At, Unclear> {
        let mut whole = Chunks::new();
        let at_once = whole.check(body.as_bytes()).map(|()| whole.at);
        let (mut chunks, mut taken) = (Chunks::new(), 0);
        for end in 1..=body.len() {
            let step = chunks.check(&body.as_bytes()[taken..end]);
            assert!(step.is_ok() || end == body.len(), "{body:?}");
            if let Err(why) = step {
                assert_eq!(at_once, Err(why));
                return Err(why);
            }
            chunks.read(end - taken);
            taken = end;
        }
        assert_eq!(at_once, Ok(chunks.at), "{body:?}");
        at_once
    }

    #[test]
    fn chunks_are_followed_to_their_end() {
        for body in [
            "0\r\n\r\n",
            "2\r\n[1\r\n3;x=y\r\n,2]\r\n0\r\n\r\n",
            "00a;n=\"v\"\r\n0123\n\r\0\r89\r\n0\r\nX-Sum: 7\r\nY:\r\n\r\n",
        ] {
            assert_eq!(check(body), Ok(At::End), "{body:?}");
        }
        assert_eq!(check("fF\r\nabc"), Ok(At::Data));
        let mut behind = Chunks::new();
        behind.check(b"0\r\n\r\nGET / HTTP/1.1\n").unwrap();
        assert_eq!((behind.at, behind.checked), (At::End, 5));
    }

    #[test]
    fn chunks_that_can_be_read_in_two_ways_are_refused() {
        for body in [
            "0\n",
            "2\n",
            "2;x\n",
            "2\r\n{}\n",
            "0\r\n\n",
            "0\r\nX: y\n",
            "0\r\nX\n",
            "2 ",
            " ",
            "0x",
            "+",
            "-",
            "\r",
            "2;\0",
            "2;a\rb",
            "2\r\n{}X",
            "0\r\n ",
            "0\r\n:",
            "0\r\nX ",
            "0\r\nX: \0",
            "0\r\nX: y\rz",
            "0\r\nX: y\r\n\t",
            "fffffffffffffffff",
            "2\rx",
            "0\r\n\rx",
            "2\r\n{}\rx",
        ] {
            check(body).unwrap_err();
        }
    }
}
