//! What stands around a line that leaves in a datagram: the header of syslog, or the fields of the journal.

use std::io::Write;
use std::time::Duration;

use crate::telemetry::date::Dates;
use crate::telemetry::journal_fields::write_fields;

/// How datagrams are made of lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFrame {
    pub names: SyslogNames,
    pub form: FrameForm,
    /// Bytes of a datagram. Of a line that does not fit, the beginning is sent, with a mark behind it.
    pub max_bytes: usize,
}

/// Whom lines come from, in the terms of syslog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyslogNames {
    /// 0 to 23 (RFC 5424 §6.2.1).
    pub facility: u8,
    /// 0 to 7, 0 being the worst.
    pub severity: u8,
    /// Visible ASCII without spaces.
    pub host: String,
    /// Visible ASCII without spaces, colons and brackets.
    pub app_name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameForm {
    /// The header of RFC 5424 §6.2.
    Rfc5424,
    /// What `/dev/log` takes: as syslog(3) writes it, without a time. The receiver of the same host notes its own, and what
    /// syslog(3) writes has no time zone.
    Local,
    /// An entry of the journal, in its native protocol.
    Journal {
        /// Lines are JSON, and their fields become fields of the entry.
        has_fields: bool,
    },
}

/// Stands at the end of a line that was cut.
const CUT_MARK: &[u8] = b" [truncated]";

impl LogFrame {
    /// Writes what stands before a line at this time since the Unix epoch.
    pub(super) fn begin(&self, now: Duration, out: &mut Vec<u8>) {
        let SyslogNames { facility, severity, host, app_name } = &self.names;
        let process = std::process::id();
        let priority = u16::from(*facility) * 8 + u16::from(*severity);
        // Writing to a vector cannot fail.
        let _ = match self.form {
            FrameForm::Rfc5424 => {
                let _ = write!(out, "<{priority}>1 ");
                Dates::default().write_rfc3339(now, out);
                write!(out, ".{:06}Z {host} {app_name} {process} access - ", now.subsec_micros())
            }
            FrameForm::Local => write!(out, "<{priority}>{app_name}[{process}]: "),
            FrameForm::Journal { .. } => write!(
                out,
                "PRIORITY={severity}\nSYSLOG_FACILITY={facility}\nSYSLOG_IDENTIFIER={app_name}\n\
                 SYSLOG_PID={process}\nMESSAGE="
            ),
        };
    }

    /// Writes a line behind what [`LogFrame::begin`] wrote.
    pub(super) fn end(&self, line: &[u8], out: &mut Vec<u8>) {
        let room = self.max_bytes.saturating_sub(out.len());
        if line.len() <= room {
            out.extend_from_slice(line);
        } else {
            out.extend_from_slice(beginning(line, room.saturating_sub(CUT_MARK.len())));
            out.extend_from_slice(CUT_MARK);
        }
        if let FrameForm::Journal { has_fields } = self.form {
            out.push(b'\n');
            if has_fields {
                write_fields(line, self.max_bytes, out);
            }
        }
    }
}

/// The first bytes of a line, so many at most, and no character of UTF-8 in part.
fn beginning(line: &[u8], bytes: usize) -> &[u8] {
    let is_within = |end: &usize| line.get(*end).is_none_or(|byte| byte & 0xc0 != 0x80);
    // A character has four bytes at most; what is longer is no UTF-8.
    let end = (bytes.saturating_sub(3)..=bytes).rev().find(is_within).unwrap_or(bytes);
    line.get(..end).unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(form: FrameForm, max_bytes: usize, line: &str) -> String {
        let names = SyslogNames {
            facility: 23,
            severity: 6,
            host: "edge-1".to_owned(),
            app_name: "ringway".to_owned(),
        };
        let mut out = Vec::new();
        let frame = LogFrame { names, form, max_bytes };
        frame.begin(Duration::from_micros(784_111_777_000_042), &mut out);
        frame.end(line.as_bytes(), &mut out);
        assert!(out.len() <= max_bytes);
        String::from_utf8(out).unwrap().replace(&std::process::id().to_string(), "PID")
    }

    #[test]
    fn headers_are_those_of_the_standards() {
        let line = "{\"status\":200}";
        for (form, expected) in [
            (
                FrameForm::Rfc5424,
                "<190>1 1994-11-06T08:49:37.000042Z edge-1 ringway PID access - {\"status\":200}",
            ),
            (FrameForm::Local, "<190>ringway[PID]: {\"status\":200}"),
            (
                FrameForm::Journal { has_fields: false },
                "PRIORITY=6\nSYSLOG_FACILITY=23\nSYSLOG_IDENTIFIER=ringway\nSYSLOG_PID=PID\n\
                 MESSAGE={\"status\":200}\n",
            ),
        ] {
            assert_eq!(framed(form, 8_192, line), expected);
        }
        let fields = framed(FrameForm::Journal { has_fields: true }, 8_192, line);
        assert!(fields.ends_with("\nMESSAGE={\"status\":200}\nRINGWAY_STATUS=200\n"), "{fields}");
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_with_a_mark_between_characters() {
        let header = framed(FrameForm::Local, 480, "").replace("PID", &std::process::id().to_string()).len();
        for (line, expected) in [
            ("x".repeat(100), "x".repeat(100)),
            ("x".repeat(101), format!("{} [truncated]", "x".repeat(88))),
            (format!("{}é{}", "x".repeat(87), "y".repeat(50)), format!("{} [truncated]", "x".repeat(87))),
            (format!("{}é{}", "x".repeat(86), "y".repeat(50)), format!("{}é [truncated]", "x".repeat(86))),
        ] {
            let text = framed(FrameForm::Local, header + 100, &line);
            assert_eq!(text.split_once(": ").unwrap().1, expected);
        }
    }
}
