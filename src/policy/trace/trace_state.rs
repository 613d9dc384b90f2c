//! The `tracestate` field (W3C Trace Context §3.3): what the tracing systems on the way have to say to each other.

/// "There can be a maximum of 32 list-members in a list" (§3.3.1.1).
const MAX_MEMBERS: usize = 32;
/// Characters that are passed on at least (§3.3.1.5), and here also at most.
pub(super) const MAX_BYTES: usize = 512;
/// "Entries larger than 128 characters long SHOULD be removed first" (§3.3.1.5).
const MAX_MEMBER_BYTES: usize = 128;

/// Characters of a key and of a value (§3.3.1.3).
const MAX_KEY_BYTES: usize = 256;
/// Characters of a value of `tracestate` (§3.3.1.3).
const MAX_VALUE_BYTES: usize = 256;

/// Writes the fields of these values as one, in their order; nothing if they are no list as it must be, or none. A key that
/// stands twice is left to who knows it.
pub(super) fn combine<'v>(values: impl Iterator<Item = &'v [u8]> + Clone, out: &mut Vec<u8>) {
    let members = values.flat_map(|value| value.split(|byte| *byte == b',')).map(trim);
    let members = members.filter(|member| !member.is_empty());
    let (mut count, mut bytes) = (0, 0);
    for member in members.clone() {
        count += 1;
        bytes += member.len() + 1;
        if count > MAX_MEMBERS || !is_member(member) {
            return;
        }
    }
    // What is too long as a whole loses its longest members, and then its oldest ones, which stand last.
    let is_long = bytes > MAX_BYTES + 1;
    let start = out.len();
    for member in members.filter(|member| !is_long || member.len() <= MAX_MEMBER_BYTES) {
        let separator = usize::from(out.len() > start);
        if out.len() - start + separator + member.len() > MAX_BYTES {
            return;
        }
        out.extend_from_slice(if separator == 1 { b"," } else { b"" });
        out.extend_from_slice(member);
    }
}

fn trim(member: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = member.iter().position(|byte| !is_space(byte)).unwrap_or(member.len());
    let end = member.iter().rposition(|byte| !is_space(byte)).map_or(start, |last| last + 1);
    member.get(start..end).unwrap_or_default()
}

fn is_member(member: &[u8]) -> bool {
    let Some(equals) = member.iter().position(|byte| *byte == b'=') else { return false };
    let (key, value) = member.split_at(equals);
    // Blanks within a value are its own, but it does not end with one; they were trimmed.
    let is_value_byte = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b',' | b'=');
    let value = value.get(1..).unwrap_or_default();
    is_key(key) && (1..=MAX_VALUE_BYTES).contains(&value.len()) && value.iter().all(is_value_byte)
}

/// As level 2 has it (§3.3.1.3.1), which takes more than level 1: keys may begin with a digit, and `@` is a letter like
/// others.
fn is_key(key: &[u8]) -> bool {
    let is_first = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_key_byte = |byte: &u8| is_first(byte) || matches!(byte, b'_' | b'-' | b'*' | b'/' | b'@');
    key.len() <= MAX_KEY_BYTES && key.first().is_some_and(is_first) && key.iter().all(is_key_byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn combined(values: &[&str]) -> String {
        let mut out = Vec::new();
        combine(values.iter().map(|value| value.as_bytes()), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn fields_become_one_in_their_order() {
        assert_eq!(
            combined(&["rojo=00f067aa0ba902b7", "congo=t61rcWkgMzE"]),
            "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
        );
        assert_eq!(combined(&[" a=1 ,\tb=2\t", "", ",c= 3"]), "a=1,b=2,c= 3");
        assert_eq!(
            combined(&["fw529a3039@dt=FfAAAABkAEQAAAE,0a*/_-=~!\"#"]),
            "fw529a3039@dt=FfAAAABkAEQAAAE,0a*/_-=~!\"#"
        );
        assert_eq!(combined(&["a@=1,b@c@d=2,e@@f=3"]), "a@=1,b@c@d=2,e@@f=3");
        assert_eq!(combined(&["a=1,b=2", "a=3,a=1"]), "a=1,b=2,a=3,a=1");
        assert_eq!(combined(&[]), "");
        assert_eq!(combined(&["", ", ,"]), "");
    }

    #[test]
    fn what_is_no_list_is_dropped_as_a_whole() {
        let long_key = format!("{}=1", "a".repeat(257));
        let long_value = format!("a={}", "1".repeat(257));
        for wrong in [
            "a",
            "a=",
            "=1",
            "A=1",
            "a=1,b",
            "a b=1",
            "a=1=2",
            "@a=1",
            "-a=1",
            "a=caf\u{e9}",
            "a=1\u{7f}",
            &long_key,
            &long_value,
        ] {
            assert_eq!(combined(&["z=0", wrong]), "", "{wrong}");
        }
        let of = |count: usize| (0..count).map(|index| format!("k{index}=v")).collect::<Vec<_>>().join(",");
        assert_eq!(combined(&[&of(32)]), of(32));
        assert_eq!(combined(&[&of(33)]), "");
        assert_eq!(combined(&[&of(32), "z=0"]), "");
    }

    #[test]
    fn what_is_too_long_loses_its_longest_and_its_last() {
        let long = format!("long={}", "x".repeat(200));
        let short = |index: usize| format!("k{index}={}", "y".repeat(97));
        let list = [long.clone(), short(0), short(1), short(2)].join(",");
        assert_eq!(list.len(), 205 + 3 * 101);
        assert_eq!(combined(&[&list]), list, "512 characters or fewer pass");
        let list = [long, short(0), short(1), short(2), short(3), short(4), short(5)].join(",");
        let kept = (0..5).map(short).collect::<Vec<_>>().join(",");
        assert_eq!(combined(&[&list]), kept);
    }
}
