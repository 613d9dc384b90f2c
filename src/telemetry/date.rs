//! Dates in the three notations that HTTP and logs want, formatted once per second.
//!
//! All are in UTC, so the calendar is arithmetic: a package for dates knows time zones, durations and formats that nobody
//! asks for here.

use std::fmt;
use std::io::Write;
use std::time::Duration;

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
        let moment = CivilSecond::at(second);
        self.http = Notation::Http.of(moment).to_string();
        self.rfc3339 = Notation::Rfc3339.of(moment).to_string();
        self.common_log = Notation::CommonLog.of(moment).to_string();
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
        self.write(wall, (&self.rfc3339, Notation::Rfc3339), out);
    }

    /// Writes the second that `wall` lies in as the common log format does: `06/Nov/1994:08:49:37 +0000`.
    pub fn write_common_log(&self, wall: Duration, out: &mut Vec<u8>) {
        self.write(wall, (&self.common_log, Notation::CommonLog), out);
    }

    fn write(&self, wall: Duration, (present, notation): (&str, Notation), out: &mut Vec<u8>) {
        let second = wall.as_secs();
        if self.second == Some(second) {
            return out.extend_from_slice(present.as_bytes());
        }
        // Writing to a vector cannot fail.
        let _ = write!(out, "{}", notation.of(CivilSecond::at(second)));
    }
}

/// RFC 3339 in UTC with milliseconds: `1994-11-06T08:49:37.905Z`. `wall` is time since the Unix epoch.
pub fn stamp(wall: Duration) -> String {
    format!("{}.{:03}Z", Notation::Rfc3339.of(CivilSecond::at(wall.as_secs())), wall.subsec_millis())
}

/// A date in RFC 3339, with any offset, as time since the Unix epoch. None: it is no such date, or one before the epoch.
/// Of a fraction, nanoseconds count; a leap second is the one before it.
pub fn parse(date: &str) -> Option<Duration> {
    let mut text = DateText { rest: date.as_bytes() };
    let (year, _) = (text.number(4, 0..=9999)?, text.mark(b"-")?);
    let (month, _) = (text.number(2, 1..=12)?, text.mark(b"-")?);
    let day = text.number(2, 1..=days_of_month(year, month))?;
    text.mark(b"Tt ")?;
    let (hour, _) = (text.number(2, 0..=23)?, text.mark(b":")?);
    let (minute, _) = (text.number(2, 0..=59)?, text.mark(b":")?);
    let second = text.number(2, 0..=60)?.min(59);
    let nanoseconds = text.fraction()?;
    let east = match text.mark(b"Zz+-")? {
        sign @ (b'+' | b'-') => {
            let (hours, _) = (text.number(2, 0..=23)?, text.mark(b":")?);
            let seconds = (hours * 60 + text.number(2, 0..=59)?) * 60;
            if sign == b'+' { seconds } else { -seconds }
        }
        _ => 0,
    };
    let seconds = days_since_epoch(year, month, day) * DAY + (hour * 60 + minute) * 60 + second - east;
    let seconds = u64::try_from(seconds).ok().filter(|_| text.rest.is_empty())?;
    Some(Duration::new(seconds, nanoseconds))
}

/// Seconds of a day.
const DAY: i64 = 86_400;

/// The last second of the year 9999: years of five digits are no dates of these notations.
const LAST_SECOND: u64 = 253_402_300_799;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The first day since the epoch was a Thursday.
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// A second of the Gregorian calendar, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CivilSecond {
    year: u64,
    /// From 0.
    month: u64,
    /// From 1.
    day: u64,
    weekday: u64,
    hour: u64,
    minute: u64,
    second: u64,
}

impl CivilSecond {
    /// So many seconds after the epoch, at most [`LAST_SECOND`].
    ///
    /// Years are counted from March on, so that the day that leap years have more is the last of theirs, and in eras of 400
    /// years, which all have as many days. Months from March on begin at days that (153 m + 2) / 5 gives.
    fn at(second: u64) -> CivilSecond {
        let second = second.min(LAST_SECOND);
        let days = second / DAY as u64;
        let since_march_0 = days + DAYS_TO_EPOCH as u64;
        let (era, day) = (since_march_0 / ERA as u64, since_march_0 % ERA as u64);
        // Leap days that went before: every 4 years, but not every 100, but every 400.
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day_of_year = day - (365 * year + year / 4 - year / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let month = (march_month + 2) % 12;
        CivilSecond {
            year: era * 400 + year + u64::from(month < 2),
            month,
            day: day_of_year - (153 * march_month + 2) / 5 + 1,
            weekday: days % 7,
            hour: second / 3_600 % 24,
            minute: second / 60 % 60,
            second: second % 60,
        }
    }
}

/// Days of 400 years.
const ERA: i64 = 146_097;

/// Days from 1 March of the year 0 to the epoch.
const DAYS_TO_EPOCH: i64 = 719_468;

/// The inverse of [`CivilSecond::at`]; months are counted from 1.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    // 1 March of the year 0 is in the first era, and what is before it is before the epoch.
    let (year, march_month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leap_days + (153 * march_month + 2) / 5 + day - 1 - DAYS_TO_EPOCH
}

fn days_of_month(year: i64, month: i64) -> i64 {
    let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    days_since_epoch(next_year, next_month, 1) - days_since_epoch(year, month, 1)
}

/// How a moment is written.
#[derive(Clone, Copy)]
enum Notation {
    Http,
    Rfc3339,
    CommonLog,
}

impl Notation {
    fn of(self, moment: CivilSecond) -> WrittenSecond {
        WrittenSecond { notation: self, moment }
    }
}

struct WrittenSecond {
    notation: Notation,
    moment: CivilSecond,
}

impl fmt::Display for WrittenSecond {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CivilSecond { year, month, day, weekday, hour, minute, second } = self.moment;
        let name = MONTHS.get(month as usize).copied().unwrap_or_default();
        match self.notation {
            Notation::Http => {
                let weekday = WEEKDAYS.get(weekday as usize).copied().unwrap_or_default();
                write!(to, "{weekday}, {day:02} {name} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
            }
            Notation::Rfc3339 => {
                let month = month + 1;
                write!(to, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
            }
            Notation::CommonLog => {
                write!(to, "{day:02}/{name}/{year:04}:{hour:02}:{minute:02}:{second:02} +0000")
            }
        }
    }
}

/// What is left of a date that is being read.
struct DateText<'t> {
    rest: &'t [u8],
}

impl DateText<'_> {
    /// A number of so many digits in a range.
    fn number(&mut self, digits: usize, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let (read, rest) = self.rest.split_at_checked(digits)?;
        self.rest = rest;
        let number = read.iter().try_fold(0, |number, digit| {
            digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0'))
        })?;
        range.contains(&number).then_some(number)
    }

    /// One of these bytes.
    fn mark(&mut self, marks: &[u8]) -> Option<u8> {
        let (mark, rest) = self.rest.split_first()?;
        self.rest = rest;
        marks.contains(mark).then_some(*mark)
    }

    /// The nanoseconds of a fraction of a second, 0 where there is none. None: a point without digits.
    fn fraction(&mut self) -> Option<u32> {
        if self.rest.first() != Some(&b'.') {
            return Some(0);
        }
        self.mark(b".")?;
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (read, rest) = self.rest.split_at_checked(digits).filter(|_| digits > 0)?;
        self.rest = rest;
        let padded = read.iter().copied().chain(std::iter::repeat(b'0'));
        Some(padded.take(9).fold(0, |number, digit| number * 10 + u32::from(digit - b'0')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_they_are_written() {
        let at = Duration::from_millis(784_111_777_905);
        assert_eq!(parse(&stamp(at)), Some(at));
        assert_eq!(parse("1994-11-06T09:49:37.905+01:00"), Some(at));
        assert_eq!(parse("1994-11-06 08:49:37.9050000001z"), Some(at));
        assert_eq!(parse("1969-12-31T23:59:59-00:01"), Some(Duration::from_secs(59)));
        assert_eq!(parse("1994-11-06T08:49:60Z"), parse("1994-11-06T08:49:59Z"));
        for other in [
            "",
            "yesterday",
            "1994-11-06",
            "1994-11-06T08:49:37",
            "1994-11-06T08:49:37.Z",
            "1994-11-06T08:49:37Zulu",
            "1994-11-06T08:49:37+0100",
            "1994-11-06T24:00:00Z",
            "1994-00-06T08:49:37Z",
            "1994-11-31T08:49:37Z",
            "1900-02-29T08:49:37Z",
            "1969-12-31T23:59:59Z",
            "+994-11-06T08:49:37Z",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    /// Against a package that knows more of the calendar.
    #[test]
    fn all_days_are_what_they_are_called() {
        let last_day = LAST_SECOND / 86_400 - 1;
        for day in (0..40_000).chain((40_000..last_day).step_by(97)) {
            let second = day * 86_400 + day % 86_400;
            let expected = jiff::Timestamp::from_second(second as i64).unwrap();
            let moment = CivilSecond::at(second);
            let http = expected.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
            assert_eq!(Notation::Http.of(moment).to_string(), http);
            assert_eq!(parse(&expected.to_string()), Some(Duration::from_secs(second)), "{expected}");
        }
    }

    #[test]
    fn years_of_five_digits_are_not_written() {
        assert_eq!(stamp(Duration::MAX), "9999-12-31T23:59:59.999Z");
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
