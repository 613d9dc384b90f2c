//! Drawing a screen of `ringway top`.

use ratatui::Frame;
use ratatui::layout::Constraint;
use ratatui::layout::Layout;
use ratatui::layout::Rect;
use ratatui::style::Color;
use ratatui::style::Modifier;
use ratatui::style::Style;
use ratatui::text::Line;
use ratatui::widgets::Cell;
use ratatui::widgets::Clear;
use ratatui::widgets::Paragraph;
use ratatui::widgets::Row;
use ratatui::widgets::Table;
use ratatui::widgets::TableState;
use ratatui::widgets::Wrap;

use crate::command::table::Colour;
use crate::command::top::figures::Figures;
use crate::command::top::page;
use crate::command::top::pane::Figure;
use crate::command::top::pane::Heading;
use crate::command::top::pane::Pane;
use crate::command::top::pane::Sorting;
use crate::command::top::view::Focus;
use crate::command::top::view::View;

/// Below this a screen shows nothing that helps.
const MIN_WIDTH: u16 = 40;
/// The same in lines.
const MIN_HEIGHT: u16 = 8;

/// Lines above and below the tables. A reason why nobody answers may take more than one.
const HEAD_HEIGHT: u16 = 2;
const TROUBLE_HEIGHT: u16 = 3;
const FOOT_HEIGHT: u16 = 1;

/// Lines that a table gets at least, if it has as many: its headings and three rows.
const MIN_TABLE_HEIGHT: u16 = 4;

const HELP: &str = " Up, Down, j, k   choose a row; also PgUp, PgDn, Home, End
 Tab              go to the next table
 Enter            show the backends of the group
 Esc              go back; without a group, clear the filter
 s                sort by the next column
 r                sort the other way round
 /                show only rows whose name has what you type
 w                rates, P50 and P99 of 1 second or of 10
 b                show bytes and what is relayed, or requests
 p, Space         pause
 q, Ctrl-C        quit

 BUSY      share of a CPU that the worker uses
 LAG       how late a worker notices what is due
 ACTIVE    requests under way        UP  backends that may get requests
 4XX, 5XX  requests that were answered so, per second

 Any key goes back.";

/// What a screen shows.
pub(super) struct Scene<'s> {
    pub(super) figures: &'s Figures,
    pub(super) view: &'s View,
    /// Why there are no newer figures.
    pub(super) trouble: Option<&'s str>,
    pub(super) in_colour: bool,
}

impl Scene<'_> {
    /// Draws; returns how many rows the table in front shows.
    pub(super) fn draw(&self, frame: &mut Frame<'_>) -> usize {
        let area = frame.area();
        if area.width < MIN_WIDTH || area.height < MIN_HEIGHT {
            frame.render_widget(Paragraph::new("too small a terminal"), area);
            return 1;
        }
        let notice_height = if self.trouble.is_some() { TROUBLE_HEIGHT } else { 1 };
        let [head, notice, tables, foot] = Layout::vertical([
            Constraint::Length(HEAD_HEIGHT),
            Constraint::Length(notice_height),
            Constraint::Min(0),
            Constraint::Length(FOOT_HEIGHT),
        ])
        .areas(area);
        frame.render_widget(Paragraph::new(self.head()), head);
        frame.render_widget(Paragraph::new(self.notice()).wrap(Wrap { trim: true }), notice);
        frame.render_widget(Paragraph::new(self.foot()), foot);
        if self.view.shows_help() {
            frame.render_widget(Clear, tables);
            frame.render_widget(Paragraph::new(HELP), tables);
            return 1;
        }
        match self.view.group() {
            Some(_) => self.draw_group(frame, tables),
            None => self.draw_overview(frame, tables),
        }
    }

    fn head(&self) -> Vec<Line<'static>> {
        vec![
            Line::styled(page::title(self.figures), Style::new().add_modifier(Modifier::BOLD)),
            Line::raw(page::totals(self.figures, self.view.intervals())),
        ]
    }

    /// Why the figures are not what they seem.
    fn notice(&self) -> Line<'static> {
        if let Some(trouble) = self.trouble {
            let style = self.coloured(Colour::Red).add_modifier(Modifier::BOLD);
            let trouble = trouble.replace(char::is_control, "?");
            return Line::styled(format!("no answer, trying again: {trouble}"), style);
        }
        let mut notices = Vec::new();
        if self.figures.stopping {
            notices.push("it is stopping".to_owned());
        }
        if self.view.is_paused() {
            notices.push("paused, p goes on".to_owned());
        }
        let focus = self.view.focus();
        let Sorting { column, is_reversed } = self.view.sorting(focus);
        if let Some(heading) =
            column.and_then(|column| self.view.pane(focus, self.figures).headings.get(column))
        {
            let reversed = if is_reversed { ", reversed" } else { "" };
            notices.push(format!("sorted by {}{reversed}", heading.title()));
        }
        if !self.view.filter().is_empty() && !self.view.is_typing() {
            notices.push(format!("filter: {}, / changes it, Esc clears it", self.view.filter()));
        }
        Line::styled(notices.join("; "), self.coloured(Colour::Yellow))
    }

    fn foot(&self) -> Line<'static> {
        if self.view.is_typing() {
            return Line::raw(format!("filter: {}_  (Enter keeps it, Esc drops it)", self.view.filter()));
        }
        let last = match self.view.focus() {
            Focus::Backends => "Esc back",
            Focus::Groups => "Enter backends",
            Focus::Workers | Focus::Listeners => "Tab next table",
        };
        Line::raw(format!("q quit  p pause  s sort  r reverse  / filter  w window  ? help  {last}"))
    }

    fn draw_group(&self, frame: &mut Frame<'_>, area: Rect) -> usize {
        let [of_group, _, of_backends] =
            Layout::vertical([Constraint::Length(2), Constraint::Length(1), Constraint::Min(0)]).areas(area);
        let mut group = Pane::of_groups(self.figures, self.view.shown());
        group.rows.retain(|row| Some(row.name.as_str()) == self.view.group());
        if group.rows.is_empty() {
            let name = self.view.group().unwrap_or_default();
            frame.render_widget(Paragraph::new(format!("There is no group {name} any more.")), of_group);
        } else {
            self.draw_pane(frame, of_group, &group, None);
        }
        self.draw_choice(frame, of_backends, Focus::Backends)
    }

    fn draw_overview(&self, frame: &mut Frame<'_>, area: Rect) -> usize {
        let reasons = Pane::of_reasons(self.figures);
        let panes = [Focus::Workers, Focus::Listeners, Focus::Groups];
        let rows = panes.map(|focus| self.view.pane(focus, self.figures).rows.len());
        // Reasons stand beside the workers.
        let rows = [rows[0].max(reasons.rows.len()), rows[1], rows[2]];
        let wanted = rows.map(|rows| u16::try_from(rows + 1).unwrap_or(u16::MAX));
        let in_front = panes.iter().position(|focus| *focus == self.view.focus()).unwrap_or(2);
        let heights = shares(area.height.saturating_sub(2), wanted, in_front);
        let [above, _, middle, _, below] = Layout::vertical([
            Constraint::Length(heights[0]),
            Constraint::Length(1),
            Constraint::Length(heights[1]),
            Constraint::Length(1),
            Constraint::Min(0),
        ])
        .areas(area);
        let [workers, _, beside] =
            Layout::horizontal([Constraint::Length(39), Constraint::Length(3), Constraint::Min(0)])
                .areas(above);
        self.draw_pane(frame, beside, &reasons, None);
        let shown = [
            self.draw_choice(frame, workers, Focus::Workers),
            self.draw_choice(frame, middle, Focus::Listeners),
            self.draw_choice(frame, below, Focus::Groups),
        ];
        shown[in_front]
    }

    /// Draws a table of which a row can be chosen; returns how many rows it shows.
    fn draw_choice(&self, frame: &mut Frame<'_>, area: Rect, focus: Focus) -> usize {
        let pane = self.view.pane(focus, self.figures);
        self.draw_pane(frame, area, &pane, Some(focus));
        usize::from(area.height.saturating_sub(1)).max(1)
    }

    fn draw_pane(&self, frame: &mut Frame<'_>, area: Rect, pane: &Pane, focus: Option<Focus>) {
        let is_in_front = focus == Some(self.view.focus());
        let chosen = focus.filter(|_| is_in_front).and_then(|focus| self.view.chosen(focus, pane));
        let widths = pane.headings.iter().enumerate().map(|(column, heading)| match column {
            0 => Constraint::Min(heading.width()),
            _ => Constraint::Length(heading.width()),
        });
        let sorting = focus.map(|focus| self.view.sorting(focus)).unwrap_or_default();
        let titles = pane.headings.iter().enumerate().map(|(column, heading)| {
            let style = Style::new();
            let is_key = sorting.column == Some(column);
            let style = if is_key { style.add_modifier(Modifier::UNDERLINED) } else { style };
            Cell::new(aligned(heading.title(), *heading).style(style))
        });
        let head = Style::new().add_modifier(Modifier::BOLD);
        let head = if is_in_front { head.add_modifier(Modifier::REVERSED) } else { head };
        let rows = pane.rows.iter().map(|row| {
            let cells = row.cells.iter().zip(pane.headings);
            Row::new(cells.map(|(figure, heading)| self.cell(figure, *heading)))
        });
        let table = Table::new(rows, widths)
            .header(Row::new(titles).style(head))
            .column_spacing(1)
            .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
        frame.render_stateful_widget(table, area, &mut TableState::new().with_selected(chosen));
    }

    fn cell(&self, figure: &Figure, heading: Heading) -> Cell<'static> {
        // What a name contains cannot play tricks on the terminal.
        let text = figure.text().replace(char::is_control, "?");
        Cell::new(aligned(&text, heading).style(self.coloured(figure.colour())))
    }

    fn coloured(&self, colour: Colour) -> Style {
        self.style(match colour {
            Colour::None => Style::new(),
            Colour::Green => Style::new().fg(Color::Green),
            Colour::Yellow => Style::new().fg(Color::Yellow),
            Colour::Red => Style::new().fg(Color::Red),
        })
    }

    fn style(&self, style: Style) -> Style {
        if self.in_colour { style } else { Style { fg: None, ..style } }
    }
}

fn aligned(text: &str, heading: Heading) -> Line<'static> {
    let line = Line::raw(text.to_owned());
    match heading {
        Heading::Words(..) => line,
        Heading::Number(..) => line.right_aligned(),
    }
}

/// How many lines each of three tables gets of so many, where they want so many: at first little each, then the one in
/// front as much as it wants, and what is left the others from the last to the first.
fn shares(lines: u16, wanted: [u16; 3], in_front: usize) -> [u16; 3] {
    let mut left = lines;
    let mut shares = [0; 3];
    let mut give = |place: usize, limit: u16| {
        let more = wanted[place].min(limit).saturating_sub(shares[place]).min(left);
        shares[place] += more;
        left -= more;
    };
    give(in_front, MIN_TABLE_HEIGHT);
    (0..3).for_each(|place| give(place, MIN_TABLE_HEIGHT));
    give(in_front, u16::MAX);
    (0..3).rev().for_each(|place| give(place, u16::MAX));
    shares
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::command::top::figures::BackendFigures;
    use crate::command::top::figures::GroupFigures;
    use crate::command::top::figures::ListenerFigures;
    use crate::command::top::figures::RequestFigures;
    use crate::command::top::figures::WorkerFigures;
    use crate::command::top::view::Press;
    use crate::control::admin::status::Usage;

    fn traffic(scale: f64) -> RequestFigures {
        RequestFigures {
            requests_per_second: Some(1_234.0 * scale),
            client_errors_per_second: Some(12.5 * scale),
            server_errors_per_second: Some(0.25 * scale),
            retries_per_second: Some(0.0),
            p50_seconds: Some(0.001_2),
            p99_seconds: Some(0.245),
        }
    }

    fn figures() -> Figures {
        let listener = |name: &str, scale| ListenerFigures {
            name: name.to_owned(),
            protocol: "https".into(),
            http3: name == "web",
            connections: Usage { in_use: 1_200, limit: None },
            accepted_per_second: Some(31.0),
            refused_per_second: Some(0.0),
            traffic: traffic(scale),
            ..Default::default()
        };
        let backend = |number: usize| BackendFigures {
            address: format!("192.168.100.{number}:8080"),
            role: Some("active".into()),
            weight: Some(100),
            state: if number == 2 { "unhealthy" } else { "healthy" }.into(),
            reason: (number == 2).then(|| "RESPONSE_MISMATCH".into()),
            in_flight: 3,
            requests_per_second: Some(411.3),
            failures_per_second: Some(0.0),
        };
        let group = |number: usize| GroupFigures {
            name: format!("group-{number}"),
            availability: if number == 3 { "all_down" } else { "active" }.into(),
            available: 2,
            in_flight: 9,
            traffic: if number == 3 { RequestFigures::default() } else { traffic(1.0) },
            backends: (1..=3).map(backend).collect(),
            ..Default::default()
        };
        let worker = |worker| WorkerFigures {
            worker,
            busy: Some(0.734),
            connections: 600,
            loop_lag_p50_seconds: Some(0.000_095),
            loop_lag_p99_seconds: Some(0.000_415),
        };
        let reasons = [("no_backend".to_owned(), 0.2), ("response_timeout".to_owned(), 12.0)];
        Figures {
            version: "0.1.0".to_owned(),
            pid: 4711,
            uptime_seconds: 11_532,
            epoch: 2,
            seconds: 1.0,
            connections: Usage { in_use: 2_400, limit: Some(14_904) },
            traffic: traffic(2.0),
            reasons_per_second: BTreeMap::from(reasons),
            workers: (0..2).map(worker).collect(),
            listeners: vec![listener("web", 1.5), listener("a-listener-with-a-long-name", 0.5)],
            groups: (1..=12).map(group).collect(),
            ..Default::default()
        }
    }

    fn screen(width: u16, height: u16, scene: &Scene<'_>) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| _ = scene.draw(frame)).unwrap();
        terminal.backend().to_string()
    }

    fn scene<'s>(figures: &'s Figures, view: &'s View) -> Scene<'s> {
        Scene { figures, view, trouble: None, in_colour: false }
    }

    #[test]
    fn the_overview_fits_into_80_columns_and_24_lines() {
        let (figures, view) = (figures(), View::new());
        insta::assert_snapshot!("top_overview", screen(80, 24, &scene(&figures, &view)));
        insta::assert_snapshot!("top_overview_large", screen(120, 36, &scene(&figures, &view)));
    }

    #[test]
    fn a_group_shows_its_backends() {
        let (figures, mut view) = (figures(), View::new());
        view.press(Press::Down, &figures, 5);
        view.press(Press::Enter, &figures, 5);
        view.press(Press::Character('p'), &figures, 5);
        insta::assert_snapshot!("top_group", screen(80, 24, &scene(&figures, &view)));
        let without = Figures::default();
        assert!(screen(80, 24, &scene(&without, &view)).contains("There is no group group-2 any more."));
    }

    #[test]
    fn a_filter_trouble_and_help_are_told() {
        let (figures, mut view) = (figures(), View::new());
        "/group-1".chars().for_each(|key| view.press(Press::Character(key), &figures, 5));
        let trouble =
            Some("cannot reach a running ringway at /run/ringway/admin.sock\x1b[2J: connection refused");
        let scene = Scene { trouble, ..scene(&figures, &view) };
        insta::assert_snapshot!("top_trouble", screen(80, 24, &scene));
        view.press(Press::Enter, &figures, 5);
        view.press(Press::Character('?'), &figures, 5);
        insta::assert_snapshot!("top_help", screen(80, 24, &self::scene(&figures, &view)));
    }

    #[test]
    fn nothing_breaks_on_any_size() {
        let (figures, mut view) = (figures(), View::new());
        for _ in 0..2 {
            for (width, height) in [(1, 1), (10, 3), (40, 8), (41, 9), (79, 10), (80, 12), (300, 100)] {
                screen(width, height, &scene(&figures, &view));
                screen(width, height, &scene(&Figures::default(), &view));
            }
            view.press(Press::Enter, &figures, 5);
        }
        assert!(screen(39, 24, &scene(&figures, &view)).contains("too small a terminal"));
    }

    #[test]
    fn colours_are_for_those_who_want_them() {
        let (figures, view) = (figures(), View::new());
        let coloured = |in_colour| {
            let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
            let scene = Scene { in_colour, ..scene(&figures, &view) };
            terminal.draw(|frame| _ = scene.draw(frame)).unwrap();
            terminal.backend().buffer().content.iter().filter(|cell| cell.fg == Color::Green).count()
        };
        assert_eq!((coloured(true) > 0, coloured(false)), (true, 0));
    }

    #[test]
    fn the_table_in_front_gets_its_lines_first() {
        assert_eq!(shares(18, [3, 3, 4], 2), [3, 3, 4]);
        assert_eq!(shares(18, [65, 3, 13], 2), [4, 3, 11]);
        assert_eq!(shares(18, [65, 3, 13], 0), [11, 3, 4]);
        assert_eq!(shares(6, [9, 9, 9], 1), [2, 4, 0]);
        assert_eq!(shares(0, [9, 9, 9], 1), [0, 0, 0]);
    }
}
