//! Lists of IP addresses and networks as they stand in files: one a line, comments behind `#`.

use std::net::IpAddr;

use ipnet::IpNet;

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineFault {
    /// Counts from 1.
    pub line: usize,
    /// The line cannot be read; else it is read as another network than it says.
    pub is_error: bool,
    /// Completes "line 7 …"; without control characters.
    pub text: String,
}

/// Characters of a line that are shown.
const MAX_SHOWN: usize = 60;

/// Reads all lines that can be read, and tells what is wrong with the others.
pub fn parse(text: &str) -> (Vec<IpNet>, Vec<LineFault>) {
    let (mut networks, mut faults) = (Vec::new(), Vec::new());
    for (line, written) in (1..).zip(text.lines()) {
        let entry = written.split('#').next().unwrap_or_default().trim();
        if entry.is_empty() {
            continue;
        }
        match parse_network(entry) {
            Some(network) => {
                if network.trunc() != network {
                    let text = format!("\"{network}\" is read as \"{}\"", network.trunc());
                    faults.push(LineFault { line, is_error: false, text });
                }
                networks.push(network.trunc());
            }
            None => {
                let shown: String = entry.chars().take(MAX_SHOWN).collect();
                let shown = shown.escape_debug();
                let text = format!("\"{shown}\" is neither an IP address nor a network");
                faults.push(LineFault { line, is_error: true, text });
            }
        }
    }
    (networks, faults)
}

/// An address without a prefix length is a network of one.
pub fn parse_network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_read_or_told() {
        let text = "# the office\n10.0.0.0/8\r\n\n  192.0.2.7 # a partner\n2001:db8::/32\n10.0.0.0/33\n\
                    192.0.2.0/24, 198.51.100.0/24\n10.1.2.3/16\n\x1b[31m\n";
        let (networks, faults) = parse(text);
        let networks: Vec<_> = networks.iter().map(IpNet::to_string).collect();
        assert_eq!(networks, ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32", "10.1.0.0/16"]);
        let faults: Vec<_> =
            faults.iter().map(|fault| (fault.line, fault.is_error, fault.text.as_str())).collect();
        assert_eq!(
            faults,
            [
                (6, true, "\"10.0.0.0/33\" is neither an IP address nor a network"),
                (7, true, "\"192.0.2.0/24, 198.51.100.0/24\" is neither an IP address nor a network"),
                (8, false, "\"10.1.2.3/16\" is read as \"10.1.0.0/16\""),
                (9, true, "\"\\u{1b}[31m\" is neither an IP address nor a network"),
            ]
        );
        let long = parse(&"x".repeat(1_000)).1;
        assert!(long[0].text.len() < 120, "{}", long[0].text);
        assert_eq!(parse(""), (Vec::new(), Vec::new()));
    }
}
