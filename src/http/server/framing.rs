//! Strict checks of the framing of a request: a request whose end two readers could find in different places is refused
//! before any of it runs.
//!
//! actix-http's codec accepts a bare LF as the end of a line; some servers and proxies do too, others don't. If a proxy in
//! front finds another end of a line, a chunk or a trailer than this server, a client can smuggle a request into another
//! client's connection. So each line must end in CRLF and hold no control characters.

/// Why a request can be read in more than one way.
pub(super) type Unclear = &'static str;

const BARE_LF: Unclear = "a line ends in LF alone, and must end in CRLF";
const CONTROL: Unclear = "a line holds a control character, such as a CR alone or a NUL";
const FOLDED: Unclear = "a header's line begins with white space";

/// Checks the received lines of a head, up to its end.
pub(super) fn check_head(received: &[u8]) -> Result<(), Unclear> {
    let mut rest = received;
    let mut begun = false;
    while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
        let line = rest[..end].strip_suffix(b"\r").ok_or(BARE_LF)?;
        match line {
            // Empty lines before a request are ignored (RFC 9112, 2.2).
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

/// Unlike `any`, the fold has no early exit, so the compiler can check several bytes at a time.
fn has_control(line: &[u8]) -> bool {
    line.iter().fold(false, |any, &byte| any | is_control(byte))
}

fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() & (byte != b'\t')
}

/// Follows the framing of a chunked body.
#[derive(Debug)]
pub(super) struct Chunks {
    state: ChunkState,
    size: u64,
    /// How many of the bytes that the codec has not read yet were checked.
    checked: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum ChunkState {
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
            state: ChunkState::SizeBegin,
            size: 0,
            checked: 0,
        }
    }

    /// Checks the bytes of the body that were received since the last check. `received` still begins with the unread bytes of
    /// that check.
    pub(super) fn check(&mut self, received: &[u8]) -> Result<(), Unclear> {
        while let Some(&byte) = received.get(self.checked)
            && self.state != ChunkState::End
        {
            if self.state == ChunkState::Data {
                let here = (received.len() - self.checked) as u64;
                let data = self.size.min(here);
                self.size -= data;
                self.checked += data as usize;
                if self.size == 0 {
                    self.state = ChunkState::DataCr;
                }
            } else {
                self.state = self.step(byte)?;
                self.checked += 1;
            }
        }
        Ok(())
    }

    /// The codec has read this many bytes.
    pub(super) fn read(&mut self, bytes: usize) {
        self.checked = self.checked.saturating_sub(bytes);
    }

    fn step(&mut self, byte: u8) -> Result<ChunkState, Unclear> {
        let next = match (self.state, byte) {
            (ChunkState::SizeBegin | ChunkState::Size, digit) if digit.is_ascii_hexdigit() => {
                self.add_digit(digit)?;
                ChunkState::Size
            }
            (ChunkState::Size, b';') => ChunkState::Extension,
            (ChunkState::Size | ChunkState::Extension, b'\r') => ChunkState::SizeLf,
            (ChunkState::SizeLf, b'\n') if self.size == 0 => ChunkState::TrailerBegin,
            (ChunkState::SizeLf, b'\n') => ChunkState::Data,
            (ChunkState::DataCr, b'\r') => ChunkState::DataLf,
            (ChunkState::DataLf, b'\n') => ChunkState::SizeBegin,
            (ChunkState::TrailerBegin, b'\r') => ChunkState::EndLf,
            (ChunkState::TrailerBegin, b' ' | b'\t') => return Err(FOLDED),
            (ChunkState::TrailerName, b':') => ChunkState::TrailerValue,
            (ChunkState::TrailerBegin | ChunkState::TrailerName, name) if is_token(name) => {
                ChunkState::TrailerName
            }
            (ChunkState::TrailerValue, b'\r') => ChunkState::TrailerLf,
            (ChunkState::TrailerLf, b'\n') => ChunkState::TrailerBegin,
            (ChunkState::EndLf, b'\n') => ChunkState::End,
            (_, b'\n') => return Err(BARE_LF),
            (ChunkState::Extension | ChunkState::TrailerValue, byte) if is_control(byte) => {
                return Err(CONTROL);
            }
            (ChunkState::Extension | ChunkState::TrailerValue, _) => self.state,
            (ChunkState::SizeBegin | ChunkState::Size, _) => {
                return Err("its size is not a hexadecimal number");
            }
            (ChunkState::DataCr, _) => return Err("its data is longer than its size"),
            (ChunkState::TrailerBegin | ChunkState::TrailerName, _) => {
                return Err("a trailer's name is not a token");
            }
            _ => return Err(CONTROL),
        };
        Ok(next)
    }

    fn add_digit(&mut self, digit: u8) -> Result<(), Unclear> {
        let digit = char::from(digit).to_digit(16).unwrap_or(0);
        let size = self.size.checked_mul(16).ok_or("its size is too large")?;
        self.size = size + u64::from(digit);
        Ok(())
    }
}

/// Returns whether the byte may be in a header's name (RFC 9110, 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_whose_lines_end_in_crlf_is_accepted() {
        for head in [
            "",
            "GET",
            "GET / HTTP/1.1\r",
            "GET / HTTP/1.1\r\nHost: a\r\n",
            "\r\nGET / HTTP/1.1\r\nHost:\ta \u{e9}\r\n\r\n",
            // Bytes behind the head are not checked here.
            "GET / HTTP/1.1\r\n\r\n\n\0",
        ] {
            assert_eq!(check_head(head.as_bytes()), Ok(()), "{head:?}");
        }
    }

    #[test]
    fn an_ambiguous_head_is_refused() {
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

    /// Checks the body at once and byte by byte, which must agree.
    fn check(body: &str) -> Result<ChunkState, Unclear> {
        let mut whole = Chunks::new();
        let at_once = whole.check(body.as_bytes()).map(|()| whole.state);
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
        assert_eq!(at_once, Ok(chunks.state), "{body:?}");
        at_once
    }

    #[test]
    fn chunks_are_followed_to_their_end() {
        for body in [
            "0\r\n\r\n",
            "2\r\n[1\r\n3;x=y\r\n,2]\r\n0\r\n\r\n",
            "00a;n=\"v\"\r\n0123\n\r\0\r89\r\n0\r\nX-Sum: 7\r\nY:\r\n\r\n",
        ] {
            assert_eq!(check(body), Ok(ChunkState::End), "{body:?}");
        }
        assert_eq!(check("fF\r\nabc"), Ok(ChunkState::Data));
        let mut behind = Chunks::new();
        behind.check(b"0\r\n\r\nGET / HTTP/1.1\n").unwrap();
        assert_eq!((behind.state, behind.checked), (ChunkState::End, 5));
    }

    #[test]
    fn ambiguous_chunks_are_refused() {
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
