//! The pages of docs/ that can be pasted into a shell, pasted into a shell.
//!
//! A `sh` block is run; the `text` block behind it is what it prints. A `toml` block is the file that
//! its first line names. Ports are exchanged for free ones.

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;

/// The ports that pages use.
const PORTS: [&str; 3] = ["8443", "9001", "9443"];

#[test]
fn https() {
    walk_through("https");
}

#[test]
fn mutual_tls() {
    walk_through("mutual_tls");
}

#[test]
fn end_to_end_https() {
    walk_through("end_to_end_https");
}

struct Block {
    language: String,
    text: String,
}

fn walk_through(page: &str) {
    for program in ["openssl", "curl", "python3", "bash"] {
        if Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_err()
        {
            println!("skipped: {program} is missing");
            return;
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join(format!("docs/{page}.md"))).expect("the page is there");
    check_example(root, page, &text);
    let folder = tempfile::tempdir().expect("a folder can be made");
    let text = with_free_ports(&text);
    let blocks = blocks(&text);
    let script = script(&blocks, folder.path());
    let output = run(&script, folder.path());
    for (index, block) in blocks.iter().enumerate().filter(|(_, block)| block.language == "text") {
        let file = folder.path().join(format!("block-{}", index - 1));
        // Heads end their lines as HTTP does.
        let printed = fs::read_to_string(file).unwrap_or_default().replace('\r', "");
        assert_eq!(printed, block.text, "docs/{page}.md does not print what it says\n{output}");
    }
    assert!(output.contains("the page is at its end"), "docs/{page}.md stopped early\n{output}");
}

/// The configuration of a page is the example of that name, below the lines for editors and for readers of the folder.
fn check_example(root: &Path, page: &str, text: &str) {
    let example = fs::read_to_string(root.join(format!("config/{page}.toml"))).expect("there is an example");
    let (_, example) = example.split_once('\n').expect("it has several lines");
    let (_, example) = example.split_once('\n').expect("it has several lines");
    assert!(text.contains(example), "docs/{page}.md does not show config/{page}.toml");
}

fn with_free_ports(text: &str) -> String {
    let held: Vec<TcpListener> =
        PORTS.iter().map(|_| TcpListener::bind("127.0.0.1:0").expect("a port is free")).collect();
    PORTS.iter().zip(&held).fold(text.to_owned(), |text, (port, held)| {
        text.replace(port, &held.local_addr().expect("it is bound").port().to_string())
    })
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for line in text.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => {
                open = Some(Block { language: language.to_owned(), text: String::new() });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

/// All blocks as one script. What a `sh` block prints goes to a file; behind one that leaves a
/// program running, the ports that it may listen on are waited for.
fn script(blocks: &[Block], folder: &Path) -> String {
    let mut script = String::from(
        "set -e\nwait_for() { for i in $(seq 100); do (exec 3<>/dev/tcp/127.0.0.1/$1) 2>/dev/null && return; \
         sleep 0.05; done; echo \"nobody listens on $1\"; exit 1; }\n",
    );
    // The listener first, then the backend.
    let mut configured = Vec::new();
    for (index, block) in blocks.iter().enumerate() {
        match block.language.as_str() {
            "toml" => {
                let name = block.text.lines().next().and_then(|line| line.strip_prefix("# "));
                let name = name.expect("the first line names the file");
                fs::write(folder.join(name), &block.text).expect("a file can be written");
                configured.extend(addresses(&block.text, "address = \"127.0.0.1:"));
            }
            "sh" => {
                let _ = writeln!(script, "exec 4>&1 >{}", folder.join(format!("block-{index}")).display());
                script.push_str(&block.text);
                script.push_str("exec >&4 4>&-\n");
                let background: Vec<&str> = block.text.lines().filter(|line| line.ends_with('&')).collect();
                for line in background {
                    for port in ports_of(line, &configured) {
                        let _ = writeln!(script, "wait_for {port}");
                    }
                }
            }
            _ => {}
        }
    }
    script.push_str("echo the page is at its end\n");
    script
}

/// The ports that a line in the background listens on.
fn ports_of(line: &str, configured: &[String]) -> Vec<String> {
    if line.contains("ringway run") {
        return configured.first().cloned().into_iter().collect();
    }
    if line.contains("backend.py") {
        return configured.last().cloned().into_iter().collect();
    }
    let named = addresses(line, "--from 127.0.0.1:");
    let served = addresses(line, "http.server ");
    named.into_iter().chain(served).collect()
}

/// The numbers behind each `prefix`.
fn addresses(text: &str, prefix: &str) -> Vec<String> {
    let rests = text.split(prefix).skip(1);
    rests.map(|rest| rest.chars().take_while(char::is_ascii_digit).collect()).collect()
}

/// Runs the script in a process group of its own, which ends with it; returns everything it says.
fn run(script: &str, folder: &Path) -> String {
    let ringway = Path::new(env!("CARGO_BIN_EXE_ringway")).parent().expect("it is in a folder");
    let path = format!("{}:{}", ringway.display(), std::env::var("PATH").unwrap_or_default());
    fs::write(folder.join("page.sh"), script).expect("a file can be written");
    let log = fs::File::create(folder.join("page.log")).expect("a file can be made");
    let mut child = Command::new("timeout")
        .args(["60", "bash", "-x", "page.sh"])
        .current_dir(folder)
        .env("PATH", path)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a descriptor is free"))
        .stderr(log)
        .process_group(0)
        .spawn()
        .expect("bash runs");
    let group = child.id();
    let _ = child.wait();
    // `timeout` leads its group, but programs in the background outlive it.
    let _ = Command::new("kill").args(["-KILL", "--", &format!("-{group}")]).stderr(Stdio::null()).status();
    fs::read_to_string(folder.join("page.log")).unwrap_or_default()
}
