//! Dates in the three notations that HTTP and logs want, formatted once per second.

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
        self.rfc3339 = timestamp.strftime("%Y-%m-%dT%H:%M:%S").to_string();
        self.common_log = timestamp.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string();
    }

    /// IMF-fixdate (RFC 9110 §5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
    pub fn http(&self) -> &str {
        &self.http
    }

    /// RFC 3339 in UTC without fraction and offset: `1994-11-06T08:49:37`.
    pub fn rfc3339(&self) -> &str {
        &self.rfc3339
    }

    /// The common log format's: `06/Nov/1994:08:49:37 +0000`.
    pub fn common_log(&self) -> &str {
        &self.common_log
    }
}

/// RFC 3339 in UTC with milliseconds: `1994-11-06T08:49:37.905Z`. `wall` is time since the Unix epoch.
pub fn stamp(wall: Duration) -> String {
    format!("{}.{:03}Z", timestamp(wall.as_secs()).strftime("%Y-%m-%dT%H:%M:%S"), wall.subsec_millis())
}

fn timestamp(second: u64) -> Timestamp {
    let timestamp = i64::try_from(second).ok().and_then(|second| Timestamp::from_second(second).ok());
    timestamp.unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_notations() {
        let mut dates = Dates::default();
        dates.advance(Duration::from_millis(784_111_777_900));
        assert_eq!(dates.http(), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(dates.rfc3339(), "1994-11-06T08:49:37");
        assert_eq!(dates.common_log(), "06/Nov/1994:08:49:37 +0000");
    }
}
