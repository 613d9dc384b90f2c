//! Tables for people: Markdown on standard output and, when asked, in docs/benchmarks.md.

use crate::arguments::Plan;
use crate::figures::LoadFigures;
use crate::h2load;
use crate::proxy_kind::Kind;
use crate::rounds::{Contender, Results, Turn};
use crate::scenario::Target;
use std::fmt::{self, Display, Formatter, Write};
use std::fs;
use std::path::Path;
use std::process::Command;

/// What the figures depend on.
pub(crate) struct Machine {
    lines: Vec<(String, String)>,
}

/// The page that `--write` replaces, beside Cargo.toml of the workspace.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/benchmarks.md");

/// From here on the page stays as it is: other programs measure what is told there.
const KEPT: &str = "\n# Layer 4\n";

impl Machine {
    pub(crate) fn read(plan: &Plan) -> Machine {
        let cpu_model = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu_model = cpu_model.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let mut lines = vec![
            ("date".to_owned(), first_line(Path::new("date"), &["-u", "+%Y-%m-%d"])),
            ("kernel".to_owned(), first_line(Path::new("uname"), &["-sr"])),
            ("CPU".to_owned(), format!("{} ({cpus} CPUs)", cpu_model.map_or("unknown", |(_, model)| model))),
            ("wrk".to_owned(), first_line(Path::new("wrk"), &["-v"])),
            ("h2load".to_owned(), first_line(Path::new(h2load::PROGRAM), &["--version"])),
        ];
        for proxy in &plan.proxies {
            let argument = match proxy.kind {
                Kind::Relay => continue,
                Kind::Ringway | Kind::RingwayBefore => "version",
                Kind::Nginx | Kind::Haproxy | Kind::H2o => "-v",
            };
            lines.push((proxy.kind.name().to_owned(), first_line(&proxy.program, &[argument])));
        }
        Machine { lines }
    }
}

/// The tables of all scenarios, each with its heading.
pub(crate) fn tables(results: &[Results]) -> String {
    let tables: Vec<String> = results.iter().map(table).collect();
    tables.join("\n")
}

/// Replaces docs/benchmarks.md: how it is measured, on what, and the tables; what is told of layer 4 stays.
pub(crate) fn write_page(machine: &Machine, plan: &Plan, tables: &str) -> Result<(), String> {
    let mut page = PREAMBLE.to_owned();
    let mut line = |name: &str, value: &str| page.push_str(&format!("| {name} | {value} |\n"));
    for (name, value) in &machine.lines {
        line(name, value);
    }
    line("rounds", &format!("{} of {} s each", plan.rounds, plan.seconds));
    page.push('\n');
    page.push_str(tables);
    let before = fs::read_to_string(PAGE).unwrap_or_default();
    page.push_str(before.find(KEPT).and_then(|at| before.get(at..)).unwrap_or_default());
    fs::write(PAGE, page).map_err(|e| format!("{PAGE}: {e}"))
}

fn table(results: &Results) -> String {
    let mut text = format!("## {} (`{}`)\n\n", results.scenario.title, results.scenario.name);
    let Some(first) = results.turns.first().and_then(|turns| turns.first()) else { return text };
    let columns = columns_of(first);
    let mut heads: Vec<&str> = columns.iter().map(|column| column.head).collect();
    if results.scenario.target.is_some() {
        heads.push("target");
    }
    text.push_str(&format!("| Proxy | {} |\n|---|{}\n", heads.join(" | "), "---:|".repeat(heads.len())));
    for (position, contender) in results.contenders.iter().enumerate() {
        let turns: Vec<&Turn> = results.turns.iter().filter_map(|turns| turns.get(position)).collect();
        let mut cells: Vec<String> =
            columns.iter().map(|column| column.cell(results, contender, &turns)).collect();
        cells.extend(results.scenario.target.map(|target| target_cell(target, contender.kind)));
        text.push_str(&format!("| {} | {} |\n", contender, cells.join(" | ")));
    }
    text
}

/// Only Ringway has a target.
fn target_cell(target: Target, kind: Kind) -> String {
    match target {
        _ if kind != Kind::Ringway => "–".to_owned(),
        Target::Ratio(ratio) => format!("≤ {ratio:.2}"),
        Target::Kibibytes(kibibytes) => format!("≤ {kibibytes} KiB"),
    }
}

/// One column: a figure of a turn, how its rounds become one number, and its decimals.
struct Column {
    head: &'static str,
    figure: fn(&Turn) -> f64,
    fold: Fold,
    decimals: usize,
}

enum Fold {
    Median,
    Least,
    /// The median over the rounds of this figure divided by that of the better peer with the same row in the same round.
    RatioToPeer,
    /// The same against the row of the same proxy that this one is compared with.
    RatioToRow,
}

impl Column {
    const fn median(head: &'static str, figure: fn(&Turn) -> f64, decimals: usize) -> Column {
        Column { head, figure, fold: Fold::Median, decimals }
    }

    fn cell(&self, results: &Results, contender: &Contender, turns: &[&Turn]) -> String {
        let figures: Vec<f64> = turns.iter().map(|turn| (self.figure)(turn)).collect();
        let value = match self.fold {
            Fold::Median => median(figures),
            Fold::Least => figures.into_iter().reduce(f64::min),
            Fold::RatioToPeer => median(self.ratios(results, &figures, |other| {
                other.kind.is_peer() && other.row.name == contender.row.name
            })),
            Fold::RatioToRow => median(self.ratios(results, &figures, |other| {
                other.kind == contender.kind && other.row.name == contender.row.compared_with
            })),
        };
        value.map_or("–".to_owned(), |value| format!("{value:.*}", self.decimals))
    }

    /// The figures divided by the best of those rows of the same round.
    fn ratios(
        &self,
        results: &Results,
        figures: &[f64],
        is_compared: impl Fn(&Contender) -> bool,
    ) -> Vec<f64> {
        let rounds = figures.iter().zip(&results.turns);
        let ratio = |(figure, turns): (&f64, &Vec<Turn>)| {
            let others = results.contenders.iter().zip(turns).filter(|(other, _)| is_compared(other));
            let best = others.map(|(_, turn)| (self.figure)(turn)).reduce(f64::min)?;
            (best > 0.0).then_some(figure / best)
        };
        rounds.filter_map(ratio).collect()
    }
}

fn columns_of(turn: &Turn) -> Vec<Column> {
    match turn {
        Turn::Load(_) => vec![
            Column::median("CPU µs per request, median", cpu_us, 2),
            Column { head: "least", figure: cpu_us, fold: Fold::Least, decimals: 2 },
            Column::median("of it user", user_us, 2),
            Column::median("requests/s", requests_per_second, 0),
            Column::median("CPU busy %", busy_percent, 0),
            Column::median("p50 µs", p50_us, 0),
            Column::median("p99 µs", p99_us, 0),
            Column {
                head: "ratio to the cheaper peer",
                figure: cpu_us,
                fold: Fold::RatioToPeer,
                decimals: 2,
            },
        ],
        Turn::Growth(_) => growth_columns(),
        Turn::Transfer(_) => vec![
            Column::median("CPU µs per MiB, median", cpu_us, 1),
            Column { head: "least", figure: cpu_us, fold: Fold::Least, decimals: 1 },
            Column::median("of it user", user_us, 1),
            Column::median("MiB/s", requests_per_second, 0),
            Column::median("CPU busy %", busy_percent, 0),
            Column {
                head: "ratio to the cheaper peer",
                figure: cpu_us,
                fold: Fold::RatioToPeer,
                decimals: 2,
            },
        ],
        Turn::Memory(_) => vec![
            Column::median("user KiB per connection, median", user_kib, 2),
            Column { head: "least", figure: user_kib, fold: Fold::Least, decimals: 2 },
            Column::median("kernel KiB per connection, whole machine, not counted", kernel_kib, 2),
            Column {
                head: "ratio to the smaller peer",
                figure: user_kib,
                fold: Fold::RatioToPeer,
                decimals: 2,
            },
        ],
        Turn::Latency(_) => vec![
            Column::median("requests/s", requests_per_second, 0),
            Column::median("CPU µs per request, median", cpu_us, 2),
            Column::median("p50 µs", p50_us, 0),
            Column::median("p99 µs", p99_us, 0),
            Column {
                head: "p99 ratio to the faster peer",
                figure: p99_us,
                fold: Fold::RatioToPeer,
                decimals: 2,
            },
        ],
    }
}

/// What requests cost, and beside it the health checker, which has a CPU of its own.
fn growth_columns() -> Vec<Column> {
    let ratio = |head, figure| Column { head, figure, fold: Fold::RatioToRow, decimals: 3 };
    vec![
        Column::median("CPU µs per request, median", cpu_us, 2),
        Column { head: "least", figure: cpu_us, fold: Fold::Least, decimals: 2 },
        Column::median("of it user", user_us, 2),
        Column::median("of it kernel", kernel_us, 2),
        Column::median("requests/s", requests_per_second, 0),
        Column::median("p99 µs", p99_us, 0),
        Column::median("health checker, % of a CPU", health_percent, 1),
        ratio("ratio of user", user_us),
        ratio("ratio of kernel", kernel_us),
        ratio("ratio to the fewest", cpu_us),
        Column { head: "ratio to the cheaper peer", figure: cpu_us, fold: Fold::RatioToPeer, decimals: 2 },
    ]
}

fn load(turn: &Turn) -> Option<&LoadFigures> {
    match turn {
        Turn::Load(figures) | Turn::Growth(figures) | Turn::Transfer(figures) => Some(figures),
        Turn::Memory(_) | Turn::Latency(_) => None,
    }
}

fn cpu_us(turn: &Turn) -> f64 {
    match turn {
        Turn::Load(figures) | Turn::Transfer(figures) => {
            figures.user_us + figures.system_us + figures.health_us
        }
        Turn::Growth(figures) => figures.user_us + figures.system_us,
        Turn::Latency(figures) => figures.cpu_us,
        Turn::Memory(_) => 0.0,
    }
}

fn user_us(turn: &Turn) -> f64 {
    load(turn).map_or(0.0, |figures| figures.user_us)
}

fn kernel_us(turn: &Turn) -> f64 {
    load(turn).map_or(0.0, |figures| figures.system_us)
}

fn health_percent(turn: &Turn) -> f64 {
    load(turn).map_or(0.0, |figures| figures.health_busy * 100.0)
}

fn busy_percent(turn: &Turn) -> f64 {
    load(turn).map_or(0.0, |figures| figures.busy * 100.0)
}

fn requests_per_second(turn: &Turn) -> f64 {
    match turn {
        Turn::Load(figures) | Turn::Growth(figures) | Turn::Transfer(figures) => figures.requests_per_second,
        Turn::Latency(figures) => figures.requests_per_second,
        Turn::Memory(_) => 0.0,
    }
}

fn p50_us(turn: &Turn) -> f64 {
    match turn {
        Turn::Load(figures) | Turn::Growth(figures) => figures.p50_us,
        Turn::Latency(figures) => figures.p50_us,
        Turn::Memory(_) | Turn::Transfer(_) => 0.0,
    }
}

fn p99_us(turn: &Turn) -> f64 {
    match turn {
        Turn::Load(figures) | Turn::Growth(figures) => figures.p99_us,
        Turn::Latency(figures) => figures.p99_us,
        Turn::Memory(_) | Turn::Transfer(_) => 0.0,
    }
}

fn user_kib(turn: &Turn) -> f64 {
    if let Turn::Memory(figures) = turn { figures.user_bytes / 1024.0 } else { 0.0 }
}

fn kernel_kib(turn: &Turn) -> f64 {
    if let Turn::Memory(figures) = turn { figures.kernel_bytes / 1024.0 } else { 0.0 }
}

impl Display for Turn {
    fn fmt(&self, out: &mut Formatter) -> fmt::Result {
        for (index, column) in columns_of(self).iter().filter(|c| matches!(c.fold, Fold::Median)).enumerate()
        {
            let gap = if index == 0 { "" } else { ", " };
            let head = column.head.trim_end_matches(", median");
            write!(out, "{gap}{:.*} {head}", column.decimals, (column.figure)(self))?;
        }
        Ok(())
    }
}

/// The middle value; of an even number of values the mean of the middle two.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get((values.len() - 1) / 2)?;
    Some((lower + upper) / 2.0)
}

/// The first line that a program prints, on either output.
fn first_line(program: &Path, arguments: &[&str]) -> String {
    let Ok(output) = Command::new(program).args(arguments).output() else { return "unknown".to_owned() };
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    let _ = write!(text, "{}", String::from_utf8_lossy(&output.stderr));
    text.lines().next().unwrap_or("unknown").trim().to_owned()
}

const PREAMBLE: &str = "\
# Benchmarks

`scripts/bench --write` measures and replaces this page; `scripts/bench --help` lists what can be chosen.

- The proxy (one worker) is pinned to one CPU; the load generator (wrk, unless said otherwise below) and the origin
  share another one.
- Every round starts each proxy afresh, one after the other, and measures it after at least one second of warm-up.
- CPU time is user and system time of all processes of the proxy; requests are counted by the origin over exactly
  the same window. Divided, they give CPU µs per request.
- The ratio is taken in each round against the cheapest of nginx, HAProxy and, with HTTP/2, h2o of that round; the table
  shows its median.
- Peers have one worker, keep-alive to the origin and no access log. The relay parses nothing: it is the lower bound.
- With HTTPS all proxies serve the same ECDSA P-256 certificate with that of its P-256 CA, both made for the run, and all
  agree on TLS 1.3, the group X25519 and the suite TLS_AES_128_GCM_SHA256; at its start each proxy must choose them for
  a client that prefers AES-256. Session tickets are on, without a session cache in nginx. The relay has no TLS.
- The handshake rows are made by a client of their own (rustls): 64 threads on the load CPU each open a connection, make
  one request, read the answer to the close_notify and start again. It offers only X25519 and the suite above, takes only
  the certificate of the run, and fails on any error. p50 and p99 count from the connect to the end of the answer. Either
  no session is offered, and one that is resumed all the same fails the run; or each connection offers the ticket of the
  one before with a new key exchange (psk_dhe_ke), and the run fails when less than 99 % are resumed. The first connection
  of a thread has no ticket yet; it falls into the warm-up.
- HTTP/2 goes over TLS; to the origin all speak HTTP/1.1. h2load makes the requests on one thread and logs each, from
  which p50 and p99 are taken. One body of 1 GiB is carried by curl from its start to its end; the CPU time of the proxy
  in between is told per MiB.
- User memory is what the anonymous memory of the proxy grows by while the idle connections are opened and make their
  requests; a first request goes before.
- Where backends grow, they are the one origin at up to 1,000 addresses of loopback. All rows are interleaved, and each
  ratio is taken in each round against the row of the same proxy with 2 backends: `-path` rows, in which all requests go
  to one backend chosen by a consistent hash, against `backends-2-path`, all others against `backends-2`. So `-path` rows
  show what more backends cost without more connections. `-checked` probes each backend every 2 s; the run fails unless
  the origin counts as many probes, within a fifth. The CPU time of Ringway's health checker is told beside that of its
  requests; HAProxy probes in its worker, and nginx cannot. `-least` is weighted_least_connections, all others take turns.
  The kernel tells user from system time by the clock's tick, so their ratios vary more than that of the sum.
- Rules are the same for all: a host, a path or a regular expression each, and requests ask for the last. nginx has a
  `server` per host and a `location` per path, HAProxy maps; both are limited by the client's address where Ringway is.
  The ratio to the fewest is against `hosts-1` or `prefixes-1` where there are many of them, else against `no-rule`.
- A single answer that is not 2xx, or a single socket error, fails the whole run.
- Loopback makes a sender pay for the receiver's work, so compare proxies with each other and not with a network.

| | |
|---|---|
";

#[cfg(test)]
mod tests {
    use super::{median, tables};
    use crate::figures::LoadFigures;
    use crate::proxy_kind::Kind;
    use crate::rounds::{Contender, Results, Turn};
    use crate::row::{GROWING, ONLY};
    use crate::scenario::{SCENARIOS, Scenario};

    fn figures(user_us: f64) -> LoadFigures {
        let (requests_per_second, busy, p50_us, p99_us) = (1000.0, 1.0, 10.0, 20.0);
        let (health_us, health_busy) = (0.0, 0.02);
        LoadFigures {
            user_us,
            system_us: 1.0,
            health_us,
            health_busy,
            requests_per_second,
            busy,
            p50_us,
            p99_us,
        }
    }

    fn turn(user_us: f64) -> Turn {
        Turn::Load(figures(user_us))
    }

    fn scenario(name: &str) -> &'static Scenario {
        SCENARIOS.iter().find(|scenario| scenario.name == name).unwrap()
    }

    #[test]
    fn the_ratio_is_the_median_over_rounds_against_the_cheaper_peer_of_the_round() {
        let contender = |kind| Contender { kind, row: &ONLY };
        let contenders = [Kind::Ringway, Kind::Nginx, Kind::Haproxy].map(contender).to_vec();
        let turns = vec![
            vec![turn(4.0), turn(9.0), turn(11.0)],
            vec![turn(4.0), turn(19.0), turn(9.0)],
            vec![turn(8.0), turn(9.0), turn(9.0)],
        ];
        let text = tables(&[Results { scenario: scenario("keepalive-64"), contenders, turns }]);
        assert!(
            text.contains("| ringway | 5.00 | 5.00 | 4.00 | 1000 | 100 | 10 | 20 | 0.50 | ≤ 0.85 |"),
            "{text}"
        );
        assert!(
            text.contains("| nginx | 10.00 | 10.00 | 9.00 | 1000 | 100 | 10 | 20 | 1.00 | – |"),
            "{text}"
        );
    }

    #[test]
    fn growth_is_the_ratio_to_the_fewest_backends_of_the_same_proxy_in_the_same_round() {
        let rows = |kind| GROWING[..2].iter().map(move |row| Contender { kind, row });
        let contenders = rows(Kind::Nginx).chain(rows(Kind::Ringway)).collect();
        let turns = [[1.0, 2.0, 4.0, 5.5], [1.0, 2.0, 9.0, 9.0], [1.0, 2.0, 9.0, 14.0]];
        let turns = turns.map(|round| round.map(|user_us| Turn::Growth(figures(user_us))).to_vec()).to_vec();
        let text = tables(&[Results { scenario: scenario("backends"), contenders, turns }]);
        for row in [
            "| ringway backends-2 | 10.00 | 5.00 | 9.00 | 1.00 | 1000 | 20 | 2.0 | 1.000 | 1.000 | 1.000 | 5.00 | ≤ 1.03 |",
            "| ringway backends-100 | 10.00 | 6.50 | 9.00 | 1.00 | 1000 | 20 | 2.0 | 1.375 | 1.000 | 1.300 | 3.33 | ≤ 1.03 |",
            "| nginx backends-100 | 3.00 | 3.00 | 2.00 | 1.00 | 1000 | 20 | 2.0 | 2.000 | 1.000 | 1.500 | 1.00 | – |",
        ] {
            assert!(text.contains(row), "{text}");
        }
    }

    #[test]
    fn the_median_of_an_even_count_is_the_mean_of_the_middle() {
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(vec![]), None);
    }
}
