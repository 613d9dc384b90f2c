//! Where an access log goes, and how its lines are told to a syslog server or to the journal.

use std::path::Path;
use std::path::PathBuf;

use serde_json::Value as Json;

use crate::config::BackendAddress;
use crate::config::LogDestination;
use crate::config::SyslogForm;
use crate::config::SyslogTerms;
use crate::config::check::address;
use crate::config::check::address::MAX_SOCKET_PATH;
use crate::config::check::kind::Choice;
use crate::config::check::kind::Kind;
use crate::config::check::kind::Size;
use crate::config::check::kind::refuse_kind;
use crate::config::check::section::Section;
use crate::config::raw;
use crate::config::report::Report;
use crate::config::schema;

/// `"stdout"`, `"stderr"`, `"journald"`, a syslog server or the path of a file.
pub(super) struct Destination;

/// The native protocol of the journal (systemd.io/JOURNAL_NATIVE_PROTOCOL).
const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";

/// What receives lines as syslog(3) of the C library writes them.
const LOCAL_SOCKET: &str = "/dev/log";

const FIX: &str = "write \"stdout\", \"stderr\", \"journald\", \"syslog:unix:/dev/log\", \"syslog:udp:HOST:514\" or the \
                   path of a file";

impl Kind for Destination {
    type Value = LogDestination;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<LogDestination> {
        let raw::Kind::Text(text) = &raw.kind else {
            return refuse_kind(key, raw, "a string", report);
        };
        match destination(text, report.folder(raw.location)) {
            Ok(destination) => Some(destination),
            Err(problem) => {
                report.error(raw.location, format!("`{key}` \"{}\" {problem}", text.escape_debug()), FIX);
                None
            }
        }
    }

    fn show(&self, value: &LogDestination) -> Json {
        Json::String(match value {
            LogDestination::Stdout => "stdout".to_owned(),
            LogDestination::Stderr => "stderr".to_owned(),
            LogDestination::File(path) => path.display().to_string(),
            LogDestination::SyslogUnix(path) => format!("syslog:unix:{}", path.display()),
            LogDestination::SyslogUdp(server) => format!("syslog:udp:{server}"),
            LogDestination::Journald(path) if path.as_os_str() == JOURNAL_SOCKET => "journald".to_owned(),
            LogDestination::Journald(path) => format!("journald:{}", path.display()),
        })
    }

    fn schema(&self) -> Json {
        schema::text_of(1..=usize::MAX)
    }
}

/// The problem completes "`path` "x" …".
fn destination(text: &str, folder: &Path) -> Result<LogDestination, &'static str> {
    match text {
        "stdout" => return Ok(LogDestination::Stdout),
        "stderr" => return Ok(LogDestination::Stderr),
        "journald" => return Ok(LogDestination::Journald(PathBuf::from(JOURNAL_SOCKET))),
        _ => {}
    }
    if is_slip(text) {
        return Err("is no destination; a file of this name is written with ./ before it");
    }
    let Some((word, rest)) = text.split_once(':') else {
        return file(text, folder).map(LogDestination::File);
    };
    match word {
        "journald" => socket(rest, folder).map(LogDestination::Journald),
        "syslog" => match rest.split_once(':') {
            Some(("unix", path)) => socket(path, folder).map(LogDestination::SyslogUnix),
            Some(("udp", server)) => match address::backend_address(server, folder)? {
                BackendAddress::Ip(address) => Ok(LogDestination::SyslogUdp(address.to_string())),
                BackendAddress::Name { host, port } => {
                    Ok(LogDestination::SyslogUdp(format!("{host}:{port}")))
                }
                BackendAddress::Unix(_) => Err("is neither a socket of UDP nor a unix socket"),
            },
            _ => Err("is neither syslog:unix:PATH nor syslog:udp:HOST:PORT"),
        },
        _ => file(text, folder).map(LogDestination::File),
    }
}

/// Words that mean something else than a file in the configuration of somebody.
const NO_FILES: [&str; 8] = ["-", "journal", "journald", "none", "off", "stderr", "stdout", "syslog"];
/// The same before a colon.
const NO_PREFIXES: [&str; 6] = ["journal", "journald", "syslog", "tcp", "udp", "unix"];

/// Whether a text is meant as something else than the path that it could be.
fn is_slip(text: &str) -> bool {
    let is_one_of = |word: &str, words: &[&str]| words.iter().any(|known| word.eq_ignore_ascii_case(known));
    match text.split_once(':') {
        None => is_one_of(text, &NO_FILES),
        Some(("syslog" | "journald", _)) => false,
        Some((word, _)) => is_one_of(word, &NO_PREFIXES),
    }
}

fn socket(path: &str, folder: &Path) -> Result<PathBuf, &'static str> {
    if path.starts_with('@') {
        return Err("is an abstract socket, which no receiver of logs has");
    }
    let path = file(path, folder).map_err(|_| "has no usable path")?;
    match path.as_os_str().len() {
        0..=MAX_SOCKET_PATH => Ok(path),
        _ => Err("is longer than the 107 bytes a socket path may have"),
    }
}

/// What can only be a folder is none.
fn file(path: &str, folder: &Path) -> Result<PathBuf, &'static str> {
    let file = address::resolve(path, folder);
    let is_file = |file: &PathBuf| !path.ends_with('/') && file.file_name().is_some();
    file.filter(is_file).ok_or("is not the path of a file")
}

/// RFC 5424 §6.2.1, by the names that syslog.conf has for them.
const FACILITIES: Choice<u8> = Choice {
    words: &[
        ("kern", 0),
        ("user", 1),
        ("mail", 2),
        ("daemon", 3),
        ("auth", 4),
        ("syslog", 5),
        ("lpr", 6),
        ("news", 7),
        ("uucp", 8),
        ("cron", 9),
        ("authpriv", 10),
        ("ftp", 11),
        ("local0", 16),
        ("local1", 17),
        ("local2", 18),
        ("local3", 19),
        ("local4", 20),
        ("local5", 21),
        ("local6", 22),
        ("local7", 23),
    ],
    aliases: &[],
    later: &[],
};

const SEVERITIES: Choice<u8> = Choice {
    words: &[
        ("emerg", 0),
        ("alert", 1),
        ("crit", 2),
        ("err", 3),
        ("warning", 4),
        ("notice", 5),
        ("info", 6),
        ("debug", 7),
    ],
    aliases: &[("error", 3), ("warn", 4)],
    later: &[],
};

const FORMS: Choice<SyslogForm> = Choice {
    words: &[("rfc5424", SyslogForm::Rfc5424), ("local", SyslogForm::Local)],
    aliases: &[],
    later: &[],
};

/// Every receiver takes 480 bytes (RFC 5424 §6.1), and no datagram of UDP has more than 65,507.
const MESSAGE_BYTES: Size = Size(480..=65_000);
/// What rsyslog takes unless it is told otherwise.
const USUAL_MESSAGE_BYTES: u64 = 8 * 1024;

/// What the program is called.
struct AppName;

/// RFC 5424 §6.2.5.
const MAX_APP_NAME: usize = 48;

impl Kind for AppName {
    type Value = String;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<String> {
        let raw::Kind::Text(text) = &raw.kind else {
            return refuse_kind(key, raw, "a string", report);
        };
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/');
        if !(1..=MAX_APP_NAME).contains(&text.len()) || !text.bytes().all(is_plain) {
            let help = "a name has 1 to 48 characters: ASCII letters, digits, `-`, `_`, `.` and `/`";
            report.error(raw.location, format!("`{key}` is not a valid name"), help);
            return None;
        }
        Some(text.clone())
    }

    fn show(&self, value: &String) -> Json {
        Json::from(value.as_str())
    }

    fn schema(&self) -> Json {
        schema::pattern(&format!("^[A-Za-z0-9._/-]{{1,{MAX_APP_NAME}}}$"))
    }
}

/// The keys of lines that leave in datagrams.
pub(super) fn terms(destination: &LogDestination, section: &mut Section<'_, '_>) -> SyslogTerms {
    let (form, idle, idle_form) = match destination {
        LogDestination::SyslogUnix(path) if path.as_os_str() == LOCAL_SOCKET => {
            (SyslogForm::Local, None, None)
        }
        LogDestination::SyslogUnix(_) | LogDestination::SyslogUdp(_) => (SyslogForm::Rfc5424, None, None),
        LogDestination::Journald(_) => (SyslogForm::Rfc5424, None, Some("the journal has a form of its own")),
        LogDestination::Stdout | LogDestination::Stderr | LogDestination::File(_) => {
            (SyslogForm::Rfc5424, Some(NO_SYSLOG), Some(NO_SYSLOG))
        }
    };
    SyslogTerms {
        facility: section.read_unless(idle, "facility", &FACILITIES, 23),
        severity: section.read_unless(idle, "severity", &SEVERITIES, 6),
        app_name: section.read_unless(idle, "app_name", &AppName, "ringway".to_owned()),
        form: section.read_unless(idle_form, "syslog_format", &FORMS, form),
        max_message_bytes: section.read_unless(
            idle,
            "max_message_bytes",
            &MESSAGE_BYTES,
            USUAL_MESSAGE_BYTES,
        ),
    }
}

const NO_SYSLOG: &str = "the log goes neither to syslog nor to journald";
