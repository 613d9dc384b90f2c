//! Compresses the texts that are part of the program (src/config/embedded.rs): they are read seldom, and compressed they are a
//! quarter as large.

use std::env;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use flate2::Compression;
use flate2::GzBuilder;

const FILES: [&str; 4] = [
    "config/ringway.toml",
    "docs/configuration.md",
    "docs/status.schema.json",
    "src/control/admin/api/documents.json",
];

/// All files in it.
const FOLDER: &str = "src/control/admin/console/files";

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where the package is"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo says where to put it")).join("embedded");
    let in_folder = fs::read_dir(root.join(FOLDER)).expect("the folder is there");
    let in_folder =
        in_folder.map(|entry| Path::new(FOLDER).join(entry.expect("it can be listed").file_name()));
    for file in FILES.iter().map(PathBuf::from).chain(in_folder) {
        println!("cargo::rerun-if-changed={}", file.display());
        let content = fs::read(root.join(&file)).expect("it can be read");
        let target = out.join(format!("{}.gz", file.display()));
        fs::create_dir_all(target.parent().expect("it is in a folder")).expect("a folder can be made");
        fs::write(target, compressed(&content)).expect("it can be written");
    }
    println!("cargo::rerun-if-changed={FOLDER}");
}

/// The same for the same content, whenever and wherever it is built.
fn compressed(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    encoder.write_all(content).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}
