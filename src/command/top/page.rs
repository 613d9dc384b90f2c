//! One screen of `ringway top` as text.

use crate::command::status::span;
use crate::command::top::figures::Figures;
use crate::command::top::pane::Pane;
use crate::command::top::pane::PaneColumns;
use crate::command::top::pane::duration;
use crate::command::top::pane::number;
use crate::telemetry::words::counted;

/// Everything, with all rows.
pub(super) fn text(figures: &Figures, in_colour: bool) -> String {
    let mut text = format!("{}\n{}\n", title(figures), totals(figures, 1));
    let panes = [
        Pane::of_workers(figures),
        Pane::of_reasons(figures),
        Pane::of_listeners(figures, PaneColumns::Requests),
        Pane::of_listeners(figures, PaneColumns::Bytes),
        Pane::of_groups(figures, PaneColumns::Requests),
        Pane::of_groups(figures, PaneColumns::Bytes),
    ];
    for pane in panes.iter().filter(|pane| !pane.rows.is_empty()) {
        text.push_str(&format!("\n{}", pane.to_text(in_colour)));
    }
    for group in &figures.groups {
        let backends = Pane::of_backends(Some(group)).to_text(in_colour);
        text.push_str(&format!("\ngroup {}\n{backends}", group.name));
    }
    text
}

/// Which process it is.
pub(super) fn title(figures: &Figures) -> String {
    let Figures { version, pid, uptime_seconds, epoch, workers, .. } = figures;
    format!(
        "ringway {version}, process {pid}, {}, up {}, config generation {epoch}",
        counted(workers.len(), "worker"),
        span(*uptime_seconds),
    )
}

/// What all listeners did in the last `intervals`.
pub(super) fn totals(figures: &Figures, intervals: usize) -> String {
    let Figures { connections, traffic, seconds, .. } = figures;
    let limit = connections.limit.map(|limit| format!("/{limit}")).unwrap_or_default();
    let rate = |rate: Option<f64>| rate.map_or("-".to_owned(), number);
    let time = |time: Option<f64>| time.map_or("-".to_owned(), duration);
    // Until there are as many seconds, it is of those that there are.
    let seconds = if *seconds > 0.0 { seconds.round() as usize } else { intervals };
    format!(
        "{seconds} s: {} req/s, {} 4xx/s, {} 5xx/s, p50 {}, p99 {}; {}{limit} conns",
        rate(traffic.requests_per_second),
        rate(traffic.client_errors_per_second),
        rate(traffic.server_errors_per_second),
        time(traffic.p50_seconds),
        time(traffic.p99_seconds),
        connections.in_use,
    )
}
