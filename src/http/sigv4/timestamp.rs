//! The date of a signature, in AWS's form `YYYYMMDDTHHMMSSZ`, to the second.

use std::time::{Duration, SystemTime};

/// The last second of the year 9999, the last one that has this form.
const LATEST: u64 = 253_402_300_799;

const WEEKDAYS: [&str; 7] = ["Mon,", "Tue,", "Wed,", "Thu,", "Fri,", "Sat,", "Sun,"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// A length of time in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seconds(pub(super) u64);

impl std::fmt::Display for Seconds {
    /// Writes `5 min.`, as AWS does.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            seconds if seconds % 60 == 0 => write!(f, "{} min.", seconds / 60),
            seconds => write!(f, "{seconds} sec."),
        }
    }
}

/// Seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Timestamp(pub(super) u64);

impl Timestamp {
    /// Returns the system time, rounded down.
    pub(super) fn of(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH);
        Self(since.map_or(0, |since| since.as_secs()))
    }

    /// Returns the beginning of the second.
    pub(super) fn time(self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.0.min(LATEST))
    }

    /// Returns `None` unless the text is a date of the calendar in exactly this form.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes: &[u8; 16] = text.as_bytes().try_into().ok()?;
        let fits = bytes.iter().enumerate().all(|(at, byte)| match at {
            8 => *byte == b'T',
            15 => *byte == b'Z',
            _ => byte.is_ascii_digit(),
        });
        if !fits {
            return None;
        }
        let (year, month, day) = (text.get(..4)?, text.get(4..6)?, text.get(6..8)?);
        let (hour, minute, second) = (text.get(9..11)?, text.get(11..13)?, text.get(13..15)?);
        let rfc3339 = format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z");
        humantime::parse_rfc3339(&rfc3339).ok().map(Self::of)
    }

    /// Reads `Sun, 30 Aug 2015 12:36:00 GMT` (RFC 9110), also with the other names of UTC that botocore accepts.
    pub(super) fn parse_http(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let mut next = || words.next();
        let (Some(weekday), Some(day), Some(month), Some(year), Some(time), Some(zone), None) =
            (next(), next(), next(), next(), next(), next(), next())
        else {
            return None;
        };
        let is_utc = ["GMT", "UTC", "+0000", "-0000"].contains(&zone);
        if !is_utc || !WEEKDAYS.contains(&weekday) {
            return None;
        }
        let month = MONTHS.iter().position(|known| *known == month)? + 1;
        let two = |text: &str| text.len() == 2;
        if year.len() != 4 || !two(day) || time.len() != 8 || !time.split(':').all(two) {
            return None;
        }
        let time = time.replace(':', "");
        Self::parse(&format!("{year}{month:02}{day}T{time}Z"))
    }

    pub(super) fn after(self, span: Seconds) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    pub(super) fn before(self, span: Seconds) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rfc3339 = humantime::format_rfc3339_seconds(self.time()).to_string();
        f.write_str(&rfc3339.replace(['-', ':'], ""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_date_is_read_again() {
        for seconds in [0, 951_782_400, 1_440_938_160, LATEST] {
            let written = Timestamp(seconds).to_string();
            assert_eq!(Timestamp::parse(&written), Some(Timestamp(seconds)));
        }
        assert_eq!(Timestamp(1_440_938_160).to_string(), "20150830T123600Z");
        assert_eq!(Timestamp(u64::MAX).to_string(), "99991231T235959Z");
    }

    #[test]
    fn an_http_date_is_read() {
        for zone in ["GMT", "UTC", "+0000", "-0000"] {
            let date = format!("Sun, 30 Aug 2015 12:36:00 {zone}");
            let read = Timestamp::parse_http(&date);
            assert_eq!(read, Some(Timestamp(1_440_938_160)), "{date}");
        }
        for wrong in [
            "",
            "Sun, 30 Aug 2015 12:36:00",
            "Sun, 30 Aug 2015 12:36:00 +0200",
            "Sun, 30 Aug 2015 12:36:00 GMT ",
            "Sun,  30 Aug 2015 12:36:00 GMT",
            "Sun 30 Aug 2015 12:36:00 GMT",
            "Sun, 30 aug 2015 12:36:00 GMT",
            "Sun, 31 Feb 2015 12:36:00 GMT",
            "Sun, 30 Aug 2015 1:2:36:00 GMT",
            "Sun, 30 Aug 2015 24:36:00 GMT",
            "Sun, +3 Aug 2015 12:36:00 GMT",
            "Sun, 3 Aug 2015 12:36:00 GMT",
            "Sunday, 30-Aug-15 12:36:00 GMT",
        ] {
            assert_eq!(Timestamp::parse_http(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_text_of_another_form_is_refused() {
        let wrong = [
            "",
            "20150830",
            "20150830T123600",
            "20150830t123600Z",
            "20150830T123600z",
            "20150230T123600Z",
            "20151330T123600Z",
            "20150830T243600Z",
            "20150830T126000Z",
            "2015-08-30T12:36Z",
            "+0150830T123600Z",
            "20150830T12360éZ",
            "19691231T235959Z",
        ];
        for text in wrong {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }
}
