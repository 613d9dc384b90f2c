//! `--name value` pairs of a command line.

use std::collections::VecDeque;
use std::str::FromStr;

/// The arguments of a program, taken one pair at a time.
pub struct Options {
    rest: VecDeque<String>,
}

impl Options {
    /// The arguments of this process, without its name.
    pub fn of_process() -> Options {
        Options::of(std::env::args().skip(1))
    }

    pub fn of(arguments: impl IntoIterator<Item = String>) -> Options {
        Options { rest: arguments.into_iter().collect() }
    }

    /// The next `--name`, without the dashes; `--name=value` is split.
    pub fn next_name(&mut self) -> Result<Option<String>, String> {
        let Some(word) = self.rest.pop_front() else { return Ok(None) };
        let Some(name) = word.strip_prefix("--") else {
            return Err(format!("`{word}` is not an option"));
        };
        match name.split_once('=') {
            None => Ok(Some(name.to_owned())),
            Some((name, value)) => {
                self.rest.push_front(value.to_owned());
                Ok(Some(name.to_owned()))
            }
        }
    }

    /// The value that follows option `name`.
    pub fn value<T: FromStr>(&mut self, name: &str) -> Result<T, String> {
        let value = self.rest.pop_front().ok_or_else(|| format!("--{name} needs a value"))?;
        value.parse().map_err(|_| format!("`{value}` is no value for --{name}"))
    }
}
