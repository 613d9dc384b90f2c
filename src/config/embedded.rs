//! Texts that are part of the program, as the build has compressed them (`build.rs`).

use std::io::Read;
use std::sync::OnceLock;

use flate2::read::GzDecoder;

/// A file of the sources.
pub struct EmbeddedFile {
    compressed: &'static [u8],
    /// Once it was asked for.
    text: OnceLock<String>,
}

impl EmbeddedFile {
    /// See [`embedded`](crate::config::embedded::embedded).
    pub const fn new(compressed: &'static [u8]) -> EmbeddedFile {
        EmbeddedFile { compressed, text: OnceLock::new() }
    }

    /// With the content coding `gzip`.
    pub fn compressed(&self) -> &'static [u8] {
        self.compressed
    }

    pub fn text(&self) -> &str {
        self.text.get_or_init(|| {
            let mut text = String::new();
            let read = GzDecoder::new(self.compressed).read_to_string(&mut text);
            debug_assert!(read.is_ok(), "the build has compressed a text");
            text
        })
    }
}

/// A file by its place in the sources; `build.rs` has to name it.
macro_rules! embedded {
    ($($name:tt)+) => {
        crate::config::embedded::EmbeddedFile::new(include_bytes!(concat!(
            env!("OUT_DIR"),
            "/embedded/",
            $($name)+,
            ".gz"
        )))
    };
}

pub(crate) use embedded;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_that_of_its_file() {
        static EXAMPLE: EmbeddedFile = embedded!("config/ringway.toml");
        assert_eq!(EXAMPLE.text(), include_str!("../../config/ringway.toml"));
        assert!(EXAMPLE.compressed().len() * 2 < EXAMPLE.text().len());
    }
}
