//! `ringway proxy`: a load balancer from the command line alone.

use clap::Args;

use crate::command::exit::Exit;
use crate::command::serve;
use crate::command::serve::Manner;
use crate::config;
use crate::config::Report;
use crate::config::Source;
use crate::config::toml_string;
use crate::telemetry::operator::log_line;

#[derive(Args)]
pub(super) struct Arguments {
    /// Where to listen: 0.0.0.0:8080, [::]:8080, 127.0.0.1:8080.
    #[arg(long, value_name = "ADDR")]
    from: String,
    /// Backends, separated by commas: 127.0.0.1:9001, [::1]:9001, name.example:9001, unix:/run/app.sock.
    #[arg(long, value_name = "ADDR", value_delimiter = ',', required = true)]
    to: Vec<String>,
    /// Speak HTTPS to clients: the certificate and its chain, as PEM.
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<String>,
    /// The certificate's key, as PEM.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<String>,
    /// Write the access log as JSON: stdout, stderr or a file. Without it there is none.
    #[arg(long, value_name = "WHERE")]
    access_log: Option<String>,
}

/// The name of what the arguments become.
const MADE_UP: &str = "<proxy>";

pub(super) fn run(arguments: &Arguments) -> Exit {
    let made_up = MadeUp::of(arguments);
    let loaded = config::load(vec![Source::made_up(MADE_UP, made_up.text())]);
    if loaded.config.is_none() {
        log_line(&made_up.complaints(&loaded.report));
        return Exit::Usage;
    }
    serve::serve(loaded, Manner::default())
}

/// The arguments as lines of a configuration, each with the flag it came from.
struct MadeUp(Vec<(String, &'static str)>);

impl MadeUp {
    fn of(arguments: &Arguments) -> MadeUp {
        let mut lines = vec![("config_version = 1".to_owned(), "")];
        let table = |lines: &mut Vec<_>, header: &str| lines.push((header.to_owned(), ""));
        if let Some(path) = &arguments.access_log {
            table(&mut lines, "[access_log]");
            lines.push((format!("path = {}", toml_string(path)), "--access-log"));
        }
        if let (Some(cert), Some(key)) = (&arguments.cert, &arguments.key) {
            table(&mut lines, "[[certificate]]\nname = \"proxy\"");
            lines.push((format!("chain = {}", absolute(cert)), "--cert"));
            lines.push((format!("key = {}", absolute(key)), "--key"));
        }
        table(&mut lines, "[[listener]]\nname = \"proxy\"\ndefault_group = \"backends\"");
        lines.push((format!("address = {}", toml_string(&arguments.from)), "--from"));
        if arguments.cert.is_some() {
            table(&mut lines, "protocol = \"https\"\ncertificates = [\"proxy\"]");
        }
        table(&mut lines, "[[server_group]]\nname = \"backends\"");
        for backend in &arguments.to {
            table(&mut lines, "[[server_group.backend]]");
            lines.push((format!("address = {}", toml_string(backend.trim())), "--to"));
        }
        let split =
            lines.iter().flat_map(|(text, flag)| text.lines().map(|line| (line.to_owned(), *flag))).collect();
        MadeUp(split)
    }

    fn text(&self) -> String {
        self.0.iter().map(|(line, _)| format!("{line}\n")).collect()
    }

    /// What is wrong, in terms of the command line.
    fn complaints(&self, report: &Report) -> String {
        let complaint = |diagnostic: &&config::Diagnostic| {
            let place = report.place(diagnostic.location);
            let line = place.rsplit(':').next().and_then(|line| line.parse::<usize>().ok());
            let flag = line.and_then(|line| self.0.get(line.checked_sub(1)?)).map_or("", |(_, flag)| flag);
            let message = match flag {
                "" => diagnostic.message.clone(),
                flag => diagnostic.message.replacen("`address`", flag, 1).replacen("`path`", flag, 1),
            };
            format!("error: {message}\nhelp: {}", diagnostic.help)
        };
        report.diagnostics().iter().map(complaint).collect::<Vec<_>>().join("\n")
    }
}

/// A path on the command line is relative to where the command was given.
fn absolute(path: &str) -> String {
    let absolute = std::path::absolute(path).ok().and_then(|path| path.into_os_string().into_string().ok());
    toml_string(absolute.as_deref().unwrap_or(path))
}
