//! Moments in UTC as the ELB API writes them.

/// `20260101T120000Z` as seconds since the Unix epoch. None: it is no such time.
pub(super) fn from_compact(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let has_form = bytes.len() == 16 && bytes[8] == b'T' && bytes[15] == b'Z' && text.is_ascii();
    if !has_form {
        return None;
    }
    let number = |from: usize, to: usize| {
        let digits = text.get(from..to)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<u64>().ok()).flatten()
    };
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let (hour, minute, second) = (number(9, 11)?, number(11, 13)?, number(13, 15)?);
    let is_valid = year >= 1970
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    is_valid.then(|| ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second)
}

/// Days from 1970-01-01 in the Gregorian calendar. A year begins with March here, so that the odd day is its last.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_year = (153 * month + 2) / 5 + day - 1;
    365 * year + year / 4 - year / 100 + year / 400 + of_year - 719_468
}

/// Seconds since the Unix epoch as the API writes them.
pub(super) fn to_text(seconds: i64) -> String {
    let (days, of_day) = (seconds.div_euclid(86_400) + 719_468, seconds.rem_euclid(86_400));
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z", era * 400 + year + next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read() {
        for (text, seconds) in [
            ("19700101T000000Z", Some(0)),
            ("20000229T235959Z", Some(951_868_799)),
            ("20260301T000000Z", Some(1_772_323_200)),
            ("20261128T233410Z", Some(1_795_908_850)),
            ("20261328T233410Z", None),
            ("20261128T243410Z", None),
            ("20261128 233410Z", None),
            ("+0261128T233410Z", None),
            ("", None),
        ] {
            assert_eq!(from_compact(text), seconds, "{text}");
        }
    }

    #[test]
    fn moments_are_written() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_868_799, "2000-02-29T23:59:59Z"),
            (1_772_323_200, "2026-03-01T00:00:00Z"),
            (1_795_908_850, "2026-11-28T23:34:10Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(to_text(seconds), text);
        }
    }
}
