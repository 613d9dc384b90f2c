//! First messages of clients, as records, and the fingerprints that other programs made of them: JA3 by the published
//! `ja3` of Python, JA4 by `ja4plus`.

use super::*;
use crate::tls::client_hello::First;

/// curl 7.88 with OpenSSL 3.0, padded.
const CURL: &str = "1603010200010001fc0303b4feba6f6cb7f983d0941ab508dffe1cb07a3a72230c6a76f9d5f87374e8d873205d2f287691c47559\
    c0a05d8efb01f5d0e61a5630616bba6d759a81adf582342e003e130213031301c02cc030009fcca9cca8ccaac02bc02f009ec024\
    c028006bc023c0270067c00ac0140039c009c0130033009d009c003d003c0035002f00ff0100017500000011000f00000c736974\
    652e6578616d706c65000b000403000102000a00160014001d0017001e00190018010001010102010301040010000e000c026832\
    08687474702f312e31001600000017000000310000000d002a0028040305030603080708080809080a080b080408050806040105\
    010601030303010302040205020602002b0009080304030303020301002d00020101003300260024001d002094bf6b5cede32878\
    a76f401ff39ebb488fc56db909914bd6ca62cd3b53c2cd68001500b1000000000000000000000000000000000000000000000000\
    00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
    00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
    00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000";

/// `openssl s_client -tls1_2 -noservername` of OpenSSL 3.0.
const OPENSSL12: &str = "16030100b7010000b30303d7b2f039deb8b82381c66784d53735dd63de327a7d4196193480c686d78c3551000038c02cc030009f\
    cca9cca8ccaac02bc02f009ec024c028006bc023c0270067c00ac0140039c009c0130033009d009c003d003c0035002f00ff0100\
    0052000b000403000102000a000c000a001d0017001e00190018002300000016000000170000000d002a00280403050306030807\
    08080809080a080b080408050806040105010601030303010302040205020602";

/// `openssl s_client -alpn h2,http/1.1` of OpenSSL 3.0.
const OPENSSL: &str = "160301014b01000147030318913eb6d693aa54979dd7fe6304cfe949556dda5a42c923060d7df1ae64434720f1014ce1c1f554a6\
    5e74e1d2f1c4423936d1dc6d838c8c7e645d2ab7e3dbc5f4003e130213031301c02cc030009fcca9cca8ccaac02bc02f009ec024\
    c028006bc023c0270067c00ac0140039c009c0130033009d009c003d003c0035002f00ff010000c000000011000f00000c736974\
    652e6578616d706c65000b000403000102000a00160014001d0017001e0019001801000101010201030104002300000010000e00\
    0c02683208687474702f312e310016000000170000000d002a0028040305030603080708080809080a080b080408050806040105\
    010601030303010302040205020602002b0009080304030303020301002d00020101003300260024001d0020c1d8c5a92ef53051\
    528864af6c1b46be8476bdd3c7cbd1ce9fc5bd5ff39c0002";

/// Made by hand: GREASE (RFC 8701) in every place where browsers have it.
const GREASE: &str = "16030100cb010000c70303090909090909090909090909090909090909090909090909090909090909090900000cdada13011302\
    1303c02bc02f010000922a2a000000000011000f00000c736974652e6578616d706c6500170000000a000800064a4a001d001700\
    0b000201000010000e000c02683208687474702f312e31000d000e000c0403080404010503080505010033002b00294a4a000100\
    001d00200707070707070707070707070707070707070707070707070707070707070707002b0007069a9a030403037a7a000100";

fn bytes(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().as_chunks::<2>().0;
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.iter().map(byte).collect()
}

/// The message in these records, without its header.
fn hello(records: &[u8]) -> Vec<u8> {
    let First::Hello(hello) = First::of(records) else { panic!("it is no ClientHello") };
    hello.into_owned()
}

fn over_tcp(hello: &[u8]) -> Option<ClientFingerprints> {
    ClientFingerprints::of(hello, HelloCarrier::Tcp)
}

#[test]
fn fingerprints_are_those_of_other_programs() {
    for (records, ja3, ja4) in [
        (CURL, "0149f47eabf9a20d0893e2a44e5a6323", "t13d3112h2_e8f1e7e78f70_b26ce05bbdd6"),
        (OPENSSL12, "fbe7e189e37a07ee33706f86bc746344", "t12i280600_d943125447b4_e7e480e5a997"),
        (OPENSSL, "5a1edc7f170af1014fc65c994878e63c", "t13d3111h2_e8f1e7e78f70_1f22a2ca17c4"),
        (GREASE, "0772e4b262cb52ca5c393c4d0a67378d", "t13d0508h2_e133e205ac38_7ed76e9f6715"),
    ] {
        let found = over_tcp(&hello(&bytes(records))).unwrap();
        assert_eq!(found, ClientFingerprints { ja3: ja3.to_owned(), ja4: ja4.to_owned() });
    }
}

#[test]
fn what_is_cut_has_none() {
    let hello = hello(&bytes(GREASE));
    // A message without extensions ends behind its compression methods.
    let begin = 2 + 32 + 1 + 2 + 12 + 2;
    for length in (0..hello.len()).filter(|length| *length != begin) {
        assert_eq!(over_tcp(&hello[..length]), None, "{length} bytes");
    }
    let bare = over_tcp(&hello[..begin]).unwrap();
    assert_eq!(bare.ja4, "t12i050000_e133e205ac38_000000000000");
    assert_eq!(bare.ja3, hexadecimal(&Md5::digest("771,4865-4866-4867-49195-49199,,,")));
}

#[test]
fn the_letters_of_a_protocol() {
    let letters = |alpn: &[u8]| {
        let content = [&[0, alpn.len() as u8 + 1, alpn.len() as u8], alpn].concat();
        let extension = [&[0, 16, 0, content.len() as u8][..], &content].concat();
        let begin = [&[3, 3][..], &[0; 32], &[0, 0, 0, 1, 0, 0, extension.len() as u8]].concat();
        let ja4 = over_tcp(&[begin, extension].concat()).unwrap().ja4;
        ja4[8..10].to_owned()
    };
    for (alpn, expected) in [
        (&b"h2"[..], "h2"),
        (b"http/1.1", "h1"),
        (b"x", "xx"),
        (b"\xab", "ab"),
        (b"\xab\xcd", "ad"),
        (b"0\xab", "3b"),
        (b"a-", "6d"),
    ] {
        assert_eq!(letters(alpn), expected, "{alpn:?}");
    }
}

#[test]
fn who_lists_thousands_has_none() {
    let with_suites = |count: u16| {
        let suites: Vec<u8> = (0..count).flat_map(|number| (0x1000 + number).to_be_bytes()).collect();
        let length = u16::try_from(suites.len()).unwrap().to_be_bytes();
        over_tcp(&[&[3, 3][..], &[0; 33], &length, &suites, &[1, 0]].concat())
    };
    // Sixteen bits hold a GREASE value now and then.
    assert!(with_suites(512).unwrap().ja4.starts_with("t12i9900"));
    assert_eq!(with_suites(4_000), None);
}
