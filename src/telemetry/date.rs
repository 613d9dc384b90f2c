//! Dates in the three notations that HTTP and logs want, formatted once per second.

use std::io::Write;
use std::time::Duration;

use jiff::Timestamp;

/// The present second, spelled out. Belongs to one worker.
#[derive(Default)]
pub struct Dates {
    second: Option<u64>,
    http: String,
    rfc3339: String,
    common_log: String,
}

impl Dates {
    /// Moves to the second that `wall` (time since the Unix epoch) lies in.
    pub fn advance(&mut self, wall: Duration) {
        let second = wall.as_secs();
        if self.second == Some(second) {
            return;
        }
        self.second = Some(second);
        let timestamp = timestamp(second);
        self.http = timestamp.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        self.rfc3339 = timestamp.strftime(RFC3339).to_string();
        self.common_log = timestamp.strftime(COMMON_LOG).to_string();
    }

    /// IMF-fixdate (RFC 9110 §5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
    pub fn http(&self) -> &str {
        &self.http
    }

    /// RFC 3339 in UTC without fraction and offset: `1994-11-06T08:49:37`.
    pub fn rfc3339(&self) -> &str {
        &self.rfc3339
    }

    /// Writes the second that `wall` lies in as [`Dates::rfc3339`] does, be it the present one or not.
    pub fn write_rfc3339(&self, wall: Duration, out: &mut Vec<u8>) {
        self.write(wall, (&self.rfc3339, RFC3339), out);
    }

    /// Writes the second that `wall` lies in as the common log format does: `06/Nov/1994:08:49:37 +0000`.
    pub fn write_common_log(&self, wall: Duration, out: &mut Vec<u8>) {
        self.write(wall, (&self.common_log, COMMON_LOG), out);
    }

    fn write(&self, wall: Duration, (present, format): (&str, &str), out: &mut Vec<u8>) {
        let second = wall.as_secs();
        if self.second == Some(second) {
            return out.extend_from_slice(present.as_bytes());
        }
        // Writing to a vector cannot fail.
        let _ = write!(out, "{}", timestamp(second).strftime(format));
    }
}

const RFC3339: &str = "%Y-%m-%dT%H:%M:%S";
const COMMON_LOG: &str = "%d/%b/%Y:%H:%M:%S +0000";

/// RFC 3339 in UTC with milliseconds: `1994-11-06T08:49:37.905Z`. `wall` is time since the Unix epoch.
pub fn stamp(wall: Duration) -> String {
    format!("{}.{:03}Z", timestamp(wall.as_secs()).strftime(RFC3339), wall.subsec_millis())
}

/// A date in RFC 3339, with any offset, as time since the Unix epoch. None: it is no such date, or one before the epoch.
pub fn parse(date: &str) -> Option<Duration> {
    let timestamp: Timestamp = date.parse().ok()?;
    Duration::try_from(timestamp.duration_since(Timestamp::UNIX_EPOCH)).ok()
}

fn timestamp(second: u64) -> Timestamp {
    let timestamp = i64::try_from(second).ok().and_then(|second| Timestamp::from_second(second).ok());
    timestamp.unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_they_are_written() {
        let at = Duration::from_millis(784_111_777_905);
        assert_eq!(parse(&stamp(at)), Some(at));
        assert_eq!(parse("1994-11-06T09:49:37.905+01:00"), Some(at));
        for other in ["", "yesterday", "1994-11-06", "1994-11-06T08:49:37", "1969-12-31T23:59:59Z"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn the_three_notations() {
        let mut dates = Dates::default();
        dates.advance(Duration::from_millis(784_111_777_900));
        assert_eq!(dates.http(), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(dates.rfc3339(), "1994-11-06T08:49:37");
    }

    #[test]
    fn a_time_is_written_in_its_own_second() {
        let mut dates = Dates::default();
        dates.advance(Duration::from_millis(784_111_777_900));
        for (millis, second) in [(776_999, 36), (777_000, 37), (777_999, 37), (778_000, 38), (781_950, 41)] {
            let wall = Duration::from_millis(784_111_000_000 + millis);
            let (mut rfc3339, mut common_log) = (Vec::new(), Vec::new());
            dates.write_rfc3339(wall, &mut rfc3339);
            dates.write_common_log(wall, &mut common_log);
            assert_eq!(String::from_utf8(rfc3339).unwrap(), format!("1994-11-06T08:49:{second}"));
            assert_eq!(String::from_utf8(common_log).unwrap(), format!("06/Nov/1994:08:49:{second} +0000"));
        }
    }
}
