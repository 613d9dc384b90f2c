//! The unit by which systemd starts Ringway, as far as it concerns the configuration.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use crate::config::in_order;

/// Where systemd looks for units, the strongest first.
const FOLDERS: [&str; 4] =
    ["etc/systemd/system", "run/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system"];

/// What the unit is called.
const NAME: &str = "ringway.service";

/// The assignments of a unit and its drop-ins, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Where it is.
    pub path: PathBuf,
    assignments: Vec<UnitAssignment>,
}

/// A line `key=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct UnitAssignment {
    key: String,
    value: String,
    file: PathBuf,
    /// The first line of it, from 1.
    line: usize,
}

impl Unit {
    /// One that assigns nothing.
    pub(super) fn empty(path: PathBuf) -> Unit {
        Unit { path, assignments: Vec::new() }
    }

    /// Reads the unit below `root`; None: there is none.
    pub fn survey(root: &Path) -> Option<Unit> {
        let path = FOLDERS.iter().map(|folder| root.join(folder).join(NAME)).find(|path| path.is_file())?;
        let mut unit = Unit::empty(path.clone());
        unit.read(&path, &fs::read_to_string(&path).unwrap_or_default());
        let folders = FOLDERS.iter().rev().map(|folder| root.join(folder).join(format!("{NAME}.d")));
        let entries = folders.flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
        let mut drop_ins: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        drop_ins.retain(|path| path.extension().is_some_and(|ending| ending == "conf"));
        in_order::sort_by(&mut drop_ins, |one, other| one.file_name().cmp(&other.file_name()));
        for path in drop_ins {
            unit.read(&path, &fs::read_to_string(&path).unwrap_or_default());
        }
        Some(unit)
    }

    /// Adds the lines of a file; an empty value takes back what was there (systemd.syntax(7)).
    pub(super) fn read(&mut self, file: &Path, text: &str) {
        let mut lines = text.lines().zip(1..);
        while let Some((first, number)) = lines.next() {
            let mut line = first.to_owned();
            while let Some(start) = line.strip_suffix('\\') {
                line = format!("{start} {}", lines.next().map_or("", |(more, _)| more));
            }
            self.assign(line.trim(), file, number);
        }
    }

    fn assign(&mut self, text: &str, file: &Path, line: usize) {
        let Some((key, value)) = text.split_once('=').filter(|_| !text.starts_with(['#', ';', '['])) else {
            return;
        };
        let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
        if value.is_empty() {
            self.assignments.retain(|known| known.key != key);
        } else {
            self.assignments.push(UnitAssignment { key, value, file: file.to_owned(), line });
        }
    }

    /// What counts of a key with one value.
    fn last(&self, key: &str) -> Option<&UnitAssignment> {
        self.assignments.iter().rev().find(|known| known.key == key)
    }

    /// The last value of a key.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.last(key).map(|known| known.value.as_str())
    }

    /// `file:line` of what [`Unit::value`] gives; where the unit stands if it does not have the key.
    pub fn place(&self, key: &str) -> String {
        let place = |known: &UnitAssignment| format!("{}:{}", known.file.display(), known.line);
        self.last(key).map_or_else(|| self.path.display().to_string(), place)
    }

    /// The words of all values of a key.
    pub fn words(&self, key: &str) -> Vec<&str> {
        let values = self.assignments.iter().filter(|known| known.key == key);
        values.flat_map(|known| known.value.split_whitespace()).collect()
    }

    /// A time such as `40s`, `2min` or `90`, in seconds; None: there is none, or it is none.
    pub fn seconds(&self, key: &str) -> Option<u64> {
        let value = self.value(key)?;
        let mut total = 0;
        for word in value.split_whitespace() {
            let digits = word.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(word.len());
            let (number, unit) = word.split_at(digits);
            let factor = match unit {
                "" | "s" | "sec" => 1,
                "min" | "m" => 60,
                "h" | "hr" => 3_600,
                _ => return None,
            };
            total += number.parse::<u64>().ok()?.saturating_mul(factor);
        }
        Some(total)
    }

    /// Folders that the service may write to; None: it may write everywhere, as far as systemd is concerned.
    pub fn writable(&self) -> Option<Vec<PathBuf>> {
        if self.value("ProtectSystem") != Some("strict") {
            return None;
        }
        let below = [
            ("RuntimeDirectory", "/run"),
            ("LogsDirectory", "/var/log"),
            ("StateDirectory", "/var/lib"),
            ("CacheDirectory", "/var/cache"),
        ];
        let named = below.iter().flat_map(|(key, folder)| {
            self.words(key)
                .into_iter()
                .map(|word| Path::new(folder).join(word.split(':').next().unwrap_or(word)))
        });
        let listed = self
            .words("ReadWritePaths")
            .into_iter()
            .map(|path| PathBuf::from(path.trim_start_matches(['-', '+'])));
        // What is mounted anew for the service.
        let own = (self.value("PrivateTmp") == Some("yes"))
            .then(|| [PathBuf::from("/tmp"), PathBuf::from("/var/tmp")]);
        Some(named.chain(listed).chain(own.into_iter().flatten()).chain([PathBuf::from("/dev")]).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_read_as_systemd_does() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert_eq!(Unit::survey(root.path()), None);
        put(
            "usr/lib/systemd/system/ringway.service",
            "# A comment\n[Service]\nUser=ringway\nTimeoutStopSec=1min 30s\nAmbientCapabilities=CAP_A \\\n CAP_B\nReadWritePaths=/a\n",
        );
        put(
            "etc/systemd/system/ringway.service.d/20.conf",
            "[Service]\nReadWritePaths=\nReadWritePaths=-/b /c\n",
        );
        put(
            "etc/systemd/system/ringway.service.d/10.conf",
            "[Service]\nUser=other\nReadWritePaths=/d\nProtectSystem=strict\n",
        );
        let unit = Unit::survey(root.path()).unwrap();
        assert_eq!(unit.value("User"), Some("other"));
        assert_eq!(unit.words("AmbientCapabilities"), ["CAP_A", "CAP_B"]);
        let place = |key: &str| unit.place(key).replace(&root.path().display().to_string(), "");
        assert_eq!(place("User"), "/etc/systemd/system/ringway.service.d/10.conf:2");
        // The fifth line goes on in the sixth.
        assert_eq!(place("AmbientCapabilities"), "/usr/lib/systemd/system/ringway.service:5");
        assert_eq!(place("Type"), "/usr/lib/systemd/system/ringway.service");
        assert_eq!(place("ReadWritePaths"), "/etc/systemd/system/ringway.service.d/20.conf:3");
        assert_eq!(unit.seconds("TimeoutStopSec"), Some(90));
        assert_eq!(unit.seconds("User"), None);
        let writable = unit.writable().unwrap();
        assert_eq!(writable, [PathBuf::from("/b"), PathBuf::from("/c"), PathBuf::from("/dev")]);
    }
}
