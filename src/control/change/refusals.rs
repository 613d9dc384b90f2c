//! Why a change does not come about, in the words of those who can help it.

use std::io;
use std::io::ErrorKind;
use std::path::Path;

use crate::config::Diagnostic;
use crate::config::Loaded;
use crate::config::Severity;
use crate::control::change::order::ChangeRefusal;
use crate::control::change::order::RefusalKind;
use crate::control::change::order::faults;
use crate::control::installer::Setback;
use crate::control::process::users;

/// A file that cannot be written.
pub(super) fn of_writing(path: &Path, error: &io::Error) -> ChangeRefusal {
    of_writing_in(path.parent().unwrap_or(Path::new("/")), path, error)
}

/// The same, where it is the folder of the configuration that has to be writable: that of the file may not be there yet.
pub(super) fn of_writing_in(folder: &Path, path: &Path, error: &io::Error) -> ChangeRefusal {
    let name = path.display();
    let shown = folder.display();
    let folder = quoted(&shown.to_string());
    let user = users::user_name();
    let owner = quoted(&format!("{user}:"));
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => ChangeRefusal::new(
            RefusalKind::ReadOnly,
            format!("cannot write {name}: {error}"),
            format!(
                "let {user} write there: chown -R {owner} {folder}; under systemd, install \
                 config/ringway.service.d/api.conf (ReadWritePaths={shown}) and restart; a folder that was made after \
                 the start is writable after a restart"
            ),
        ),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => ChangeRefusal::new(
            RefusalKind::NoSpace,
            format!("there is no room to write {name}: {error}"),
            format!("make room on the disk of {shown} (df {folder})"),
        ),
        _ => ChangeRefusal::new(
            RefusalKind::System,
            format!("cannot write {name}: {error}"),
            format!("see what is wrong with {shown}, and try again"),
        ),
    }
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+,".contains(c);
    match word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// A configuration that is wrong.
pub(super) fn of_configuration(loaded: &Loaded) -> ChangeRefusal {
    let is_error = |found: &Diagnostic| found.severity == Severity::Error;
    let faults = faults(&loaded.report, is_error, |location| loaded.subject(location));
    let first = faults.first().map(|fault| fault.message.clone());
    let sentence = match faults.len() {
        0 | 1 => first.unwrap_or_else(|| "the configuration would be invalid".to_owned()),
        more => format!("{}, and {} more", first.unwrap_or_default(), more - 1),
    };
    let help = "correct what `errors` names; nothing was changed";
    ChangeRefusal { faults, ..ChangeRefusal::new(RefusalKind::Invalid, sentence, help) }
}

/// A configuration that could not be put into service.
pub(super) fn of_service(setback: Setback) -> ChangeRefusal {
    match setback {
        Setback::Invalid(loaded) => of_configuration(&loaded),
        Setback::Taken(refused) => ChangeRefusal::new(
            RefusalKind::Bind,
            refused.to_string(),
            "stop what has the port, or choose another address",
        ),
        Setback::Refused(refusal) => ChangeRefusal::new(
            RefusalKind::Bind,
            refusal.to_string(),
            "see what of this host is in the way: ringway doctor",
        ),
        Setback::Later(lines) => {
            ChangeRefusal::new(RefusalKind::Invalid, lines, "change the file, and start again")
        }
    }
}

/// What cannot be changed here.
pub(super) fn elsewhere() -> ChangeRefusal {
    ChangeRefusal::new(
        RefusalKind::Elsewhere,
        "the configuration came from the command line or from standard input, so no file holds it",
        "start with -c FILE or -c FOLDER",
    )
}

/// A file that is not what was loaded.
pub(super) fn conflict(path: &Path, what: &str) -> ChangeRefusal {
    ChangeRefusal::new(
        RefusalKind::Conflict,
        format!("{} {what} since it was loaded", path.display()),
        "put what the files say into service first: ringway reload",
    )
}

/// A file that was read at the start, and cannot be read again.
pub(super) fn unreadable(path: &Path, reason: &str) -> ChangeRefusal {
    ChangeRefusal::new(
        RefusalKind::Conflict,
        format!("{}: {reason}", path.display()),
        format!("let {} read it: ringway check --user {0}", users::user_name()),
    )
}

/// What cannot be changed now.
pub(super) fn busy(sentence: &str) -> ChangeRefusal {
    ChangeRefusal::new(RefusalKind::Busy, sentence, "try again in a moment")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cure_names_the_folder_of_the_configuration_as_a_shell_reads_it() {
        let folder = Path::new("/etc/my ringway");
        let path = folder.join("certificates/site.key");
        let refusal = of_writing_in(folder, &path, &io::Error::from(ErrorKind::PermissionDenied));
        assert!(refusal.sentence.contains("/etc/my ringway/certificates/site.key"), "{refusal:?}");
        assert!(refusal.help.contains(": '/etc/my ringway'; under"), "{refusal:?}");
        assert!(!refusal.help.contains("certificates"), "{refusal:?}");
        assert_eq!(
            (quoted("web:"), quoted("a b:"), quoted("it's")),
            ("web:".to_owned(), "'a b:'".to_owned(), "'it'\\''s'".to_owned())
        );
    }
}
