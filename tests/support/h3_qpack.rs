//! Field sections of QPACK (RFC 9204) without a dynamic table, as either end of this kit has none.

use super::h3_huffman as huffman;
use super::h3_static_table::STATIC_TABLE;

/// A decoded field.
pub(super) struct DecodedField {
    pub(super) name: String,
    pub(super) value: String,
    /// It came as never to be indexed.
    pub(super) is_sensitive: bool,
}

/// The section of these fields, with the static table where it helps and Huffman's code where it is shorter.
pub(crate) fn encode_section(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut section = vec![0, 0];
    for (name, value) in fields {
        encode_field(&mut section, name, value);
    }
    section
}

fn encode_field(section: &mut Vec<u8>, name: &str, value: &str) {
    let whole = STATIC_TABLE.iter().position(|known| *known == (name, value));
    let same_name = STATIC_TABLE.iter().position(|(known, _)| *known == name);
    match (whole, same_name) {
        (Some(index), _) => return encode_integer(section, 0xc0, 6, index),
        (None, Some(index)) => encode_integer(section, 0x50, 4, index),
        (None, None) => encode_string(section, 0x20, 3, name.as_bytes()),
    }
    encode_string(section, 0, 7, value.as_bytes());
}

/// A string whose flag for Huffman's code is the bit above the `prefix` bits of its length.
fn encode_string(section: &mut Vec<u8>, flags: u8, prefix: u32, text: &[u8]) {
    let packed = huffman::encode(text);
    if packed.len() < text.len() {
        encode_integer(section, flags | 1 << prefix, prefix, packed.len());
        section.extend(packed);
    } else {
        encode_integer(section, flags, prefix, text.len());
        section.extend(text);
    }
}

/// RFC 7541 §5.1.
fn encode_integer(section: &mut Vec<u8>, flags: u8, prefix: u32, value: usize) {
    let most = (1 << prefix) - 1;
    if value < most {
        return section.push(flags | value as u8);
    }
    section.push(flags | most as u8);
    let mut rest = value - most;
    while rest >= 128 {
        section.push(128 | (rest % 128) as u8);
        rest /= 128;
    }
    section.push(rest as u8);
}

/// The fields of a section, or what is wrong with it.
pub(super) fn decode_section(section: &[u8]) -> Result<Vec<DecodedField>, &'static str> {
    let mut rest = section;
    if take_integer(&mut rest, 8)? != 0 {
        return Err("a section that needs the dynamic table");
    }
    take_integer(&mut rest, 7)?;
    let mut fields = Vec::new();
    while let Some(&first) = rest.first() {
        fields.push(take_field(&mut rest, first)?);
    }
    Ok(fields)
}

fn take_field(rest: &mut &[u8], first: u8) -> Result<DecodedField, &'static str> {
    let dynamic = Err("a reference to the dynamic table");
    match first {
        0xc0.. => {
            let (name, value) = static_field(take_integer(rest, 6)?)?;
            Ok(DecodedField { name: name.to_owned(), value: value.to_owned(), is_sensitive: false })
        }
        0x80.. => dynamic,
        0x40.. if first & 0x10 == 0 => dynamic,
        0x40.. => {
            let (name, _) = static_field(take_integer(rest, 4)?)?;
            let value = take_string(rest, 7)?;
            Ok(DecodedField { name: name.to_owned(), value, is_sensitive: first & 0x20 != 0 })
        }
        0x20.. => {
            let name = take_string(rest, 3)?;
            let value = take_string(rest, 7)?;
            Ok(DecodedField { name, value, is_sensitive: first & 0x10 != 0 })
        }
        _ => dynamic,
    }
}

fn static_field(index: usize) -> Result<(&'static str, &'static str), &'static str> {
    STATIC_TABLE.get(index).copied().ok_or("an index behind the static table")
}

fn take_string(rest: &mut &[u8], prefix: u32) -> Result<String, &'static str> {
    let first = *rest.first().ok_or("a section that is cut off")?;
    let length = take_integer(rest, prefix)?;
    let (text, after) = rest.split_at_checked(length).ok_or("a string that is cut off")?;
    *rest = after;
    let text = if first & 1 << prefix != 0 {
        huffman::decode(text).ok_or("a string that is not Huffman's code")?
    } else {
        text.to_vec()
    };
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn take_integer(rest: &mut &[u8], prefix: u32) -> Result<usize, &'static str> {
    const CUT_OFF: &str = "an integer that is cut off";
    let most = (1_usize << prefix) - 1;
    let (first, mut after) = rest.split_first().ok_or(CUT_OFF)?;
    let mut value = usize::from(*first) & most;
    if value == most {
        let mut shift = 0;
        loop {
            let (octet, behind) = after.split_first().ok_or(CUT_OFF)?;
            after = behind;
            value += usize::from(octet & 127) << shift;
            shift += 7;
            if octet & 128 == 0 {
                break;
            }
            if shift > 28 {
                return Err("an integer that is too large");
            }
        }
    }
    *rest = after;
    Ok(value)
}
