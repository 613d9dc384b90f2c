//! Priorities (RFC 9218): how urgent a response is, and whether a part of it is of use.

/// The parameters of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority {
    /// 0 to 7, the most urgent first (RFC 9218 §4.1).
    pub urgency: u8,
    /// The client makes use of the response as it comes (RFC 9218 §4.2).
    pub incremental: bool,
}

impl Default for Priority {
    fn default() -> Priority {
        Priority { urgency: 3, incremental: false }
    }
}

impl Priority {
    /// Reads the value of a `Priority` field or of PRIORITY_UPDATE, which is a dictionary (RFC 8941 §3.2).
    ///
    /// A parameter that is missing, unknown, out of range or of another type counts as the default (RFC 9218 §4), and all do
    /// where the value is no list of keys with values. What other values look like is not asked.
    pub fn parse(value: &[u8]) -> Priority {
        Priority::read(value).unwrap_or_default()
    }

    fn read(value: &[u8]) -> Option<Priority> {
        let mut priority = Priority::default();
        let mut rest = Some(value.trim_ascii()).filter(|value| !value.is_empty());
        while let Some(members) = rest {
            let (member, after) = split_member(members);
            priority.take(member.trim_ascii_end())?;
            rest = after.map(<[u8]>::trim_ascii_start);
        }
        Some(priority)
    }

    /// Takes a member of the dictionary over; of several with a key, the last counts (RFC 8941 §4.2.2). None: it is none.
    fn take(&mut self, member: &[u8]) -> Option<()> {
        let is_key = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(byte);
        let end = member.iter().position(|byte| !is_key(byte)).unwrap_or(member.len());
        let (key, rest) = member.split_at_checked(end)?;
        key.first().filter(|first| first.is_ascii_lowercase() || **first == b'*')?;
        let item = match rest {
            // A key alone is true (RFC 8941 §3.2). Its parameters mean nothing here.
            [] | [b';', ..] => &b"?1"[..],
            [b'=', value @ ..] => value.split(|byte| *byte == b';').next()?,
            _ => return None,
        };
        match (key, item) {
            (b"u", [digit @ b'0'..=b'7']) => self.urgency = digit - b'0',
            (b"u", _) => self.urgency = Priority::default().urgency,
            (b"i", _) => self.incremental = item == b"?1",
            _ => {}
        }
        Some(())
    }
}

/// Cuts at the first comma that stands neither in a string nor in a list (RFC 8941 §3.3.3, §3.1.1).
fn split_member(members: &[u8]) -> (&[u8], Option<&[u8]>) {
    let (mut is_string, mut is_escaped, mut is_list) = (false, false, false);
    let comma = members.iter().position(|byte| {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_string => is_escaped = true,
            b'"' => is_string = !is_string,
            b'(' | b')' if !is_string => is_list = *byte == b'(',
            b',' if !is_string && !is_list => return true,
            _ => {}
        }
        false
    });
    match comma.and_then(|comma| members.split_at_checked(comma)) {
        Some((member, after)) => (member, after.get(1..)),
        None => (members, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_and_others_passed_over() {
        let check = |value: &str, urgency: u8, incremental: bool| {
            assert_eq!(Priority::parse(value.as_bytes()), Priority { urgency, incremental }, "{value:?}");
        };
        check("", 3, false);
        check("u=5, i", 5, true);
        check("i,u=0", 0, true);
        check(" u=7 ,\t i=?1 ", 7, true);
        check("i=?0", 3, false);
        check("u=1;a=b;c, i;d", 1, true);
        check("u=1, u=2, i, i=?0", 2, false);
        check("a=\"x, u=9 \\\", i\", b=(1 2, 3), *c=:aGk=:, d=1.5, u=6", 6, false);
        // Out of range, or of another type.
        for value in ["u=8", "u=-1", "u=1.0", "u", "u=\"1\"", "u=11", "u=", "i=1", "i=\"a\""] {
            check(value, 3, false);
        }
        // No dictionary.
        for value in ["u=1,", ",u=1", "u=1,,i", "U=1", "u=1, I", "u=1, =2", "u=1 i", "u =1", "\u{fc}, i"] {
            check(value, 3, false);
        }
    }
}
