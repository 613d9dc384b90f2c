//! The tables of `ringway top`: what stands in their columns, in which order, and which rows a filter leaves.

use std::cmp::Ordering;

use crate::command::status;
use crate::command::table::Cell;
use crate::command::table::Colour;
use crate::command::table::Column;
use crate::command::table::TextTable;
use crate::command::top::figures::BackendFigures;
use crate::command::top::figures::Figures;
use crate::command::top::figures::GroupFigures;
use crate::command::top::figures::ListenerFigures;
use crate::command::top::figures::RelayFigures;
use crate::command::top::figures::RequestFigures;
use crate::command::top::figures::WorkerFigures;
use crate::config::in_order;
use crate::control::admin::status::protocol_label;

/// A column: its title, and how many characters a screen has for it. The first column takes what is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heading {
    Words(&'static str, u16),
    Number(&'static str, u16),
}

/// What listeners and groups are shown by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PaneColumns {
    /// Requests, and how long they took.
    Requests,
    /// Bytes and datagrams, and what is relayed.
    Bytes,
}

/// A table of rows that have a name each.
pub(super) struct Pane {
    pub(super) headings: &'static [Heading],
    pub(super) rows: Vec<PaneRow>,
}

pub(super) struct PaneRow {
    pub(super) name: String,
    /// As many as there are headings.
    pub(super) cells: Vec<Figure>,
}

/// What stands in a cell, and what it is compared by.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Figure {
    Words(String, Colour),
    Number(Option<f64>, String),
}

/// The column that rows are sorted by. None: they are in the order of the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sorting {
    pub(super) column: Option<usize>,
    pub(super) is_reversed: bool,
}

const WORKER_HEADINGS: &[Heading] = &[
    Heading::Words("WORKER", 6),
    Heading::Number("BUSY", 5),
    Heading::Number("CONNS", 6),
    Heading::Number("LAG P50", 7),
    Heading::Number("LAG P99", 7),
];
const REASON_HEADINGS: &[Heading] = &[Heading::Words("REASON", 10), Heading::Number("REQ/S", 6)];
const LISTENER_HEADINGS: &[Heading] = &[
    Heading::Words("LISTENER", 10),
    Heading::Words("PROTO", 8),
    Heading::Number("CONNS", 6),
    Heading::Number("CONN/S", 6),
    Heading::Number("REFUSED", 7),
    Heading::Number("REQ/S", 6),
    Heading::Number("4XX/S", 6),
    Heading::Number("5XX/S", 6),
    Heading::Number("P50", 6),
    Heading::Number("P99", 6),
];
const GROUP_HEADINGS: &[Heading] = &[
    Heading::Words("GROUP", 10),
    Heading::Words("SERVED BY", 9),
    Heading::Number("UP", 7),
    Heading::Number("ACTIVE", 6),
    Heading::Number("QUEUE", 5),
    Heading::Number("REQ/S", 6),
    Heading::Number("4XX/S", 6),
    Heading::Number("5XX/S", 6),
    Heading::Number("P50", 6),
    Heading::Number("P99", 6),
];
const LISTENER_BYTES_HEADINGS: &[Heading] = &[
    Heading::Words("LISTENER", 10),
    Heading::Words("PROTO", 8),
    Heading::Number("CONNS", 6),
    Heading::Number("CONN/S", 6),
    Heading::Number("END/S", 6),
    Heading::Number("FAIL/S", 6),
    Heading::Number("IN B/S", 6),
    Heading::Number("OUT B/S", 7),
    Heading::Number("DGRAM/S", 7),
    Heading::Number("LOST/S", 6),
];
const GROUP_BYTES_HEADINGS: &[Heading] = &[
    Heading::Words("GROUP", 10),
    Heading::Words("SERVED BY", 9),
    Heading::Number("UP", 7),
    Heading::Number("ACTIVE", 6),
    Heading::Number("QUEUE", 5),
    Heading::Number("END/S", 6),
    Heading::Number("FAIL/S", 6),
    Heading::Number("IN B/S", 6),
    Heading::Number("OUT B/S", 7),
    Heading::Number("DGRAM/S", 7),
];
const BACKEND_HEADINGS: &[Heading] = &[
    Heading::Words("BACKEND", 15),
    Heading::Words("ROLE", 7),
    Heading::Number("WEIGHT", 6),
    Heading::Words("STATE", 9),
    Heading::Number("ACTIVE", 6),
    Heading::Number("REQ/S", 6),
    Heading::Number("FAIL/S", 6),
    Heading::Words("REASON", 12),
];

impl Heading {
    pub(super) fn title(self) -> &'static str {
        match self {
            Heading::Words(title, _) | Heading::Number(title, _) => title,
        }
    }

    pub(super) fn width(self) -> u16 {
        match self {
            Heading::Words(_, width) | Heading::Number(_, width) => width,
        }
    }
}

impl Figure {
    pub(super) fn text(&self) -> &str {
        match self {
            Figure::Words(text, _) | Figure::Number(_, text) => text,
        }
    }

    pub(super) fn colour(&self) -> Colour {
        match self {
            Figure::Words(_, colour) => *colour,
            Figure::Number(..) => Colour::None,
        }
    }

    fn words(text: &str) -> Figure {
        Figure::Words(text.to_owned(), Colour::None)
    }

    fn count(count: impl Into<u64>) -> Figure {
        let count = count.into() as f64;
        Figure::Number(Some(count), number(count))
    }

    /// So many per second.
    fn rate(rate: Option<f64>) -> Figure {
        Figure::Number(rate, rate.map_or("-".to_owned(), number))
    }

    fn duration(seconds: Option<f64>) -> Figure {
        Figure::Number(seconds, seconds.map_or("-".to_owned(), duration))
    }

    fn compare(&self, other: &Figure) -> Ordering {
        match (self, other) {
            (Figure::Number(one, _), Figure::Number(other, _)) => {
                let value = |number: &Option<f64>| number.unwrap_or(-1.0);
                value(one).total_cmp(&value(other))
            }
            _ => self.text().cmp(other.text()),
        }
    }
}

impl Pane {
    pub(super) fn of_workers(figures: &Figures) -> Pane {
        let row = |worker: &WorkerFigures| {
            let busy = worker.busy.map(|share| share * 100.0);
            PaneRow::new(
                &worker.worker.to_string(),
                [
                    Figure::Number(busy, busy.map_or("-".to_owned(), |percent| format!("{percent:.0}%"))),
                    Figure::count(worker.connections),
                    Figure::duration(worker.loop_lag_p50_seconds),
                    Figure::duration(worker.loop_lag_p99_seconds),
                ],
            )
        };
        Pane { headings: WORKER_HEADINGS, rows: figures.workers.iter().map(row).collect() }
    }

    /// Those of which there are most stand first.
    pub(super) fn of_reasons(figures: &Figures) -> Pane {
        let row = |(reason, rate): (&String, &f64)| PaneRow::new(reason, [Figure::rate(Some(*rate))]);
        let rows = figures.reasons_per_second.iter().map(row).collect();
        let mut pane = Pane { headings: REASON_HEADINGS, rows };
        pane.arrange(Sorting { column: Some(1), is_reversed: false }, "");
        pane
    }

    pub(super) fn of_listeners(figures: &Figures, shown: PaneColumns) -> Pane {
        let row = |listener: &ListenerFigures| {
            let protocol = match (listener.leaving, listener.disabled) {
                (true, _) => "leaving".to_owned(),
                (false, true) => "disabled".to_owned(),
                (false, false) => protocol_label(&listener.protocol, listener.http3),
            };
            let of_connections = [
                Figure::words(&protocol),
                Figure::count(listener.connections.in_use as u64),
                Figure::rate(listener.accepted_per_second),
            ];
            let refused = [Figure::rate(listener.refused_per_second)];
            let lost = [Figure::rate(listener.relayed.datagrams_lost_per_second)];
            let cells = of_connections.into_iter();
            let mut row = match shown {
                PaneColumns::Requests => {
                    PaneRow::new(&listener.name, cells.chain(refused).chain(of_traffic(&listener.traffic)))
                }
                PaneColumns::Bytes => {
                    let of_bytes = of_bytes(&listener.traffic, &listener.relayed);
                    PaneRow::new(&listener.name, cells.chain(of_bytes).chain(lost))
                }
            };
            if listener.leaving {
                // Another one may have its name.
                row.name.push_str(" leaving");
            }
            row
        };
        let headings = match shown {
            PaneColumns::Requests => LISTENER_HEADINGS,
            PaneColumns::Bytes => LISTENER_BYTES_HEADINGS,
        };
        Pane { headings, rows: figures.listeners.iter().map(row).collect() }
    }

    pub(super) fn of_groups(figures: &Figures, shown: PaneColumns) -> Pane {
        let row = |group: &GroupFigures| {
            let colour = match &*group.availability {
                "active" => Colour::Green,
                "standby" => Colour::Yellow,
                "disabled" => Colour::None,
                _ => Colour::Red,
            };
            let up = format!("{}/{}", group.available, group.backends.len());
            let waiting = group.waiting.map(|waiting| waiting as f64);
            let of_backends = [
                Figure::Words(group.availability.to_string(), colour),
                Figure::Number(Some(group.available as f64), up),
                Figure::count(group.in_flight),
                Figure::Number(waiting, waiting.map_or("-".to_owned(), number)),
            ];
            let rates = match shown {
                PaneColumns::Requests => of_traffic(&group.traffic),
                PaneColumns::Bytes => of_bytes(&group.traffic, &group.relayed),
            };
            PaneRow::new(&group.name, of_backends.into_iter().chain(rates))
        };
        let headings = match shown {
            PaneColumns::Requests => GROUP_HEADINGS,
            PaneColumns::Bytes => GROUP_BYTES_HEADINGS,
        };
        Pane { headings, rows: figures.groups.iter().map(row).collect() }
    }

    pub(super) fn of_backends(group: Option<&GroupFigures>) -> Pane {
        let row = |backend: &BackendFigures| {
            let weight = backend.weight.map(f64::from);
            PaneRow::new(
                &backend.address,
                [
                    Figure::words(backend.role.as_deref().unwrap_or("-")),
                    Figure::Number(weight, weight.map_or("-".to_owned(), number)),
                    Figure::Words(backend.state.to_string(), status::colour(&backend.state)),
                    Figure::count(backend.in_flight),
                    Figure::rate(backend.requests_per_second),
                    Figure::rate(backend.failures_per_second),
                    Figure::words(backend.reason.as_deref().unwrap_or_default()),
                ],
            )
        };
        let backends = group.into_iter().flat_map(|group| &group.backends);
        Pane { headings: BACKEND_HEADINGS, rows: backends.map(row).collect() }
    }

    /// Sorts rows, and leaves those that have `filter` in their name, whatever its case.
    pub(super) fn arrange(&mut self, sorting: Sorting, filter: &str) {
        let filter = filter.to_lowercase();
        self.rows.retain(|row| row.name.to_lowercase().contains(&filter));
        let Some(column) = sorting.column else {
            if sorting.is_reversed {
                self.rows.reverse();
            }
            return;
        };
        // Of numbers the largest is of interest first.
        let is_falling = matches!(self.headings.get(column), Some(Heading::Number(..)));
        in_order::sort_by(&mut self.rows, |one, other| {
            let order = match (one.cells.get(column), other.cells.get(column)) {
                (Some(one), Some(other)) => one.compare(other),
                _ => Ordering::Equal,
            };
            if is_falling != sorting.is_reversed { order.reverse() } else { order }
        });
    }

    /// The table for a page of text.
    pub(super) fn to_text(&self, in_colour: bool) -> String {
        let columns = self.headings.iter().map(|heading| match heading {
            Heading::Words(title, _) => Column::Left(title),
            Heading::Number(title, _) => Column::Right(title),
        });
        let mut table = TextTable::new(&columns.collect::<Vec<_>>());
        for row in &self.rows {
            let cells = row.cells.iter().map(|cell| Cell::coloured(cell.text(), cell.colour()));
            table.add(cells.collect(), String::new());
        }
        table.to_text(0, in_colour)
    }
}

impl PaneRow {
    fn new(name: &str, cells: impl IntoIterator<Item = Figure>) -> PaneRow {
        let cells = std::iter::once(Figure::words(name)).chain(cells).collect();
        PaneRow { name: name.to_owned(), cells }
    }
}

impl Sorting {
    /// By the next of so many columns; behind the last, in the order of the configuration.
    pub(super) fn advance(&mut self, columns: usize) {
        let next = self.column.map_or(0, |column| column + 1);
        *self = Sorting { column: (next < columns).then_some(next), is_reversed: false };
    }
}

fn of_traffic(traffic: &RequestFigures) -> [Figure; 5] {
    [
        Figure::rate(traffic.requests_per_second),
        Figure::rate(traffic.client_errors_per_second),
        Figure::rate(traffic.server_errors_per_second),
        Figure::duration(traffic.p50_seconds),
        Figure::duration(traffic.p99_seconds),
    ]
}

/// What ended and failed is of requests where HTTP is spoken.
fn of_bytes(traffic: &RequestFigures, relayed: &RelayFigures) -> [Figure; 5] {
    [
        Figure::rate(relayed.connections_ended_per_second.or(traffic.requests_per_second)),
        Figure::rate(relayed.connections_failed_per_second.or(traffic.server_errors_per_second)),
        Figure::rate(relayed.bytes_received_per_second),
        Figure::rate(relayed.bytes_sent_per_second),
        Figure::rate(relayed.datagrams_per_second()),
    ]
}

/// In six characters at most.
pub(super) fn number(number: f64) -> String {
    match number {
        0.0 => "0".to_owned(),
        ..0.095 => format!("{number:.2}"),
        ..9.95 => format!("{number:.1}").trim_end_matches(".0").to_owned(),
        ..99_999.5 => format!("{number:.0}"),
        ..9_999_500.0 => format!("{:.0}k", number / 1e3),
        ..9_999_500_000.0 => format!("{:.0}M", number / 1e6),
        _ => format!("{:.0}G", number / 1e9),
    }
}

/// In five characters at most, up to a day.
pub(super) fn duration(seconds: f64) -> String {
    match seconds {
        ..0.000_999_5 => format!("{:.0}us", seconds * 1e6),
        ..0.009_95 => format!("{:.1}ms", seconds * 1e3),
        ..0.999_5 => format!("{:.0}ms", seconds * 1e3),
        ..9.95 => format!("{seconds:.1}s"),
        _ => format!("{seconds:.0}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_durations_are_short() {
        let numbers = [0.0, 0.01, 0.5, 1.0, 2.25, 9.99, 123.4, 99_999.0, 100_000.0, 12e6, 34e9].map(number);
        assert_eq!(numbers, ["0", "0.01", "0.5", "1", "2.2", "10", "123", "99999", "100k", "12M", "34G"]);
        let durations = [0.0, 0.000_031, 0.001, 0.001_23, 0.012_3, 0.999_9, 1.25, 75.0].map(duration);
        assert_eq!(durations, ["0us", "31us", "1.0ms", "1.2ms", "12ms", "1.0s", "1.2s", "75s"]);
    }

    fn pane(rows: &[(&str, Option<f64>)]) -> Pane {
        let rows = rows.iter().map(|(name, rate)| PaneRow::new(name, [Figure::rate(*rate)]));
        Pane { headings: REASON_HEADINGS, rows: rows.collect() }
    }

    fn names(pane: &Pane) -> String {
        pane.rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn rows_are_sorted_and_filtered() {
        let rows = [("web", Some(2.0)), ("Admin", None), ("api", Some(70.0)), ("web2", Some(0.0))];
        let arranged = |sorting: Sorting, filter: &str| {
            let mut pane = pane(&rows);
            pane.arrange(sorting, filter);
            names(&pane)
        };
        let mut sorting = Sorting::default();
        assert_eq!(arranged(sorting, ""), "web Admin api web2");
        sorting.advance(2);
        assert_eq!(arranged(sorting, ""), "Admin api web web2");
        sorting.advance(2);
        assert_eq!(arranged(sorting, ""), "api web web2 Admin");
        sorting.is_reversed = true;
        assert_eq!(arranged(sorting, ""), "Admin web2 web api");
        assert_eq!(arranged(sorting, "WEB"), "web2 web");
        sorting.advance(2);
        assert_eq!(sorting, Sorting::default());
        assert_eq!(arranged(sorting, "a"), "Admin api");
    }
}
