//! What the keys of `ringway top` change: which table is in front, what is chosen in it, its order, the filter.

use crate::command::top::figures::Figures;
use crate::command::top::pane::Pane;
use crate::command::top::pane::PaneColumns;
use crate::command::top::pane::Sorting;
use crate::command::top::tally::MAX_INTERVALS;

/// Characters of a filter: names in a configuration are hardly longer.
const MAX_FILTER: usize = 64;

/// A key, of those that mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Press {
    Character(char),
    Enter,
    Escape,
    Backspace,
    Tab,
    BackTab,
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    /// Ctrl-C.
    Interrupt,
}

/// A table that can be in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Focus {
    Workers,
    Listeners,
    Groups,
    Backends,
}

/// What of a table was chosen, and how it is sorted.
#[derive(Clone, Debug, Default)]
struct PaneChoice {
    /// The name of a row, so that it stays when the order changes.
    row: Option<String>,
    sorting: Sorting,
}

pub(super) struct View {
    focus: Focus,
    /// By [`Focus`].
    choices: [PaneChoice; 4],
    /// The group whose backends are shown instead of all tables.
    group: Option<String>,
    filter: String,
    /// Characters go to the filter.
    is_typing: bool,
    is_paused: bool,
    shows_help: bool,
    shown: PaneColumns,
    /// How many intervals rates and percentiles are of.
    intervals: usize,
    is_over: bool,
}

impl View {
    pub(super) fn new() -> View {
        View {
            focus: Focus::Groups,
            choices: Default::default(),
            group: None,
            filter: String::new(),
            is_typing: false,
            is_paused: false,
            shows_help: false,
            shown: PaneColumns::Requests,
            intervals: 1,
            is_over: false,
        }
    }

    pub(super) fn focus(&self) -> Focus {
        self.focus
    }

    pub(super) fn group(&self) -> Option<&str> {
        self.group.as_deref()
    }

    pub(super) fn filter(&self) -> &str {
        &self.filter
    }

    pub(super) fn is_typing(&self) -> bool {
        self.is_typing
    }

    pub(super) fn is_paused(&self) -> bool {
        self.is_paused
    }

    pub(super) fn shows_help(&self) -> bool {
        self.shows_help
    }

    pub(super) fn shown(&self) -> PaneColumns {
        self.shown
    }

    pub(super) fn intervals(&self) -> usize {
        self.intervals
    }

    /// The operator has seen enough.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    pub(super) fn sorting(&self, focus: Focus) -> Sorting {
        self.choices[focus as usize].sorting
    }

    /// The rows of a table as they are shown.
    pub(super) fn pane(&self, focus: Focus, figures: &Figures) -> Pane {
        let mut pane = match focus {
            Focus::Workers => Pane::of_workers(figures),
            Focus::Listeners => Pane::of_listeners(figures, self.shown),
            Focus::Groups => Pane::of_groups(figures, self.shown),
            Focus::Backends => {
                let group = figures.groups.iter().find(|group| Some(&group.name) == self.group.as_ref());
                Pane::of_backends(group)
            }
        };
        // Numbers of workers are no names.
        let filter = if focus == Focus::Workers { "" } else { &self.filter };
        pane.arrange(self.sorting(focus), filter);
        pane
    }

    /// The row that is chosen. Where it is gone, the first.
    pub(super) fn chosen(&self, focus: Focus, pane: &Pane) -> Option<usize> {
        let chosen = self.choices[focus as usize].row.as_ref();
        let place = pane.rows.iter().position(|row| Some(&row.name) == chosen);
        place.or((!pane.rows.is_empty()).then_some(0))
    }

    /// Obeys a key; `page` is how many rows the table in front shows.
    pub(super) fn press(&mut self, press: Press, figures: &Figures, page: usize) {
        match press {
            Press::Interrupt => self.is_over = true,
            _ if self.shows_help => self.shows_help = false,
            _ if self.is_typing => self.type_into_filter(press),
            Press::Character(character) => self.press_character(character, figures, page),
            Press::Enter => self.enter(figures),
            Press::Escape if self.group.is_some() => self.leave_group(),
            Press::Escape => self.filter.clear(),
            Press::Tab => self.turn(true),
            Press::BackTab => self.turn(false),
            Press::Up => self.step(figures, |place, _| place.saturating_sub(1)),
            Press::Down => self.step(figures, |place, _| place + 1),
            Press::PageUp => self.step(figures, |place, _| place.saturating_sub(page)),
            Press::PageDown => self.step(figures, |place, _| place + page),
            Press::Home => self.step(figures, |_, _| 0),
            Press::End => self.step(figures, |_, last| last),
            Press::Backspace => {}
        }
    }

    fn press_character(&mut self, character: char, figures: &Figures, page: usize) {
        match character {
            'q' => self.is_over = true,
            'p' | ' ' => self.is_paused = !self.is_paused,
            '/' => self.is_typing = true,
            '?' | 'h' => self.shows_help = true,
            'w' => self.intervals = if self.intervals == 1 { MAX_INTERVALS } else { 1 },
            'b' => self.turn_columns(),
            'k' => self.press(Press::Up, figures, page),
            'j' => self.press(Press::Down, figures, page),
            's' => {
                let columns = self.pane(self.focus, figures).headings.len();
                self.choices[self.focus as usize].sorting.advance(columns);
            }
            'r' => {
                let sorting = &mut self.choices[self.focus as usize].sorting;
                sorting.is_reversed = !sorting.is_reversed;
            }
            _ => {}
        }
    }

    /// Shows other columns; those that rows were sorted by may be gone.
    fn turn_columns(&mut self) {
        self.shown = match self.shown {
            PaneColumns::Requests => PaneColumns::Bytes,
            PaneColumns::Bytes => PaneColumns::Requests,
        };
        for focus in [Focus::Listeners, Focus::Groups] {
            self.choices[focus as usize].sorting = Sorting::default();
        }
    }

    fn type_into_filter(&mut self, press: Press) {
        match press {
            Press::Character(character) if self.filter.chars().count() < MAX_FILTER => {
                self.filter.push(character)
            }
            Press::Backspace => drop(self.filter.pop()),
            Press::Enter => self.is_typing = false,
            Press::Escape => {
                self.filter.clear();
                self.is_typing = false;
            }
            _ => {}
        }
    }

    /// Shows the backends of the chosen group.
    fn enter(&mut self, figures: &Figures) {
        if self.focus != Focus::Groups {
            return;
        }
        let pane = self.pane(Focus::Groups, figures);
        let Some(place) = self.chosen(Focus::Groups, &pane) else { return };
        self.group = Some(pane.rows[place].name.clone());
        self.choices[Focus::Groups as usize].row = self.group.clone();
        self.choices[Focus::Backends as usize] = PaneChoice::default();
        // What was looked for was found.
        self.filter.clear();
        self.focus = Focus::Backends;
    }

    fn leave_group(&mut self) {
        self.group = None;
        self.filter.clear();
        self.focus = Focus::Groups;
    }

    fn turn(&mut self, is_forward: bool) {
        self.focus = match (self.focus, is_forward) {
            (Focus::Workers, true) | (Focus::Groups, false) => Focus::Listeners,
            (Focus::Listeners, true) | (Focus::Workers, false) => Focus::Groups,
            (Focus::Groups, true) | (Focus::Listeners, false) => Focus::Workers,
            (Focus::Backends, _) => Focus::Backends,
        };
    }

    fn step(&mut self, figures: &Figures, to: impl Fn(usize, usize) -> usize) {
        let pane = self.pane(self.focus, figures);
        let Some(place) = self.chosen(self.focus, &pane) else { return };
        let last = pane.rows.len() - 1;
        let row = &pane.rows[to(place, last).min(last)];
        self.choices[self.focus as usize].row = Some(row.name.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::top::figures::BackendFigures;
    use crate::command::top::figures::GroupFigures;

    fn figures() -> Figures {
        let group = |name: &str, in_flight| GroupFigures {
            name: name.to_owned(),
            in_flight,
            backends: vec![BackendFigures { address: "10.0.0.1:80".to_owned(), ..Default::default() }],
            ..Default::default()
        };
        Figures { groups: vec![group("app", 1), group("pages", 7), group("api", 3)], ..Default::default() }
    }

    fn press(view: &mut View, figures: &Figures, keys: &str) {
        for key in keys.chars() {
            let press = match key {
                '\n' => Press::Enter,
                '\x1b' => Press::Escape,
                '\x08' => Press::Backspace,
                '\t' => Press::Tab,
                'D' => Press::Down,
                'E' => Press::End,
                'U' => Press::Up,
                other => Press::Character(other),
            };
            view.press(press, figures, 10);
        }
    }

    fn shown(view: &View, figures: &Figures) -> Vec<String> {
        view.pane(view.focus(), figures).rows.into_iter().map(|row| row.name).collect()
    }

    #[test]
    fn the_chosen_row_stays_when_the_order_changes() {
        let (mut view, figures) = (View::new(), figures());
        press(&mut view, &figures, "D");
        let chosen = |view: &View| {
            let pane = view.pane(view.focus(), &figures);
            let place = view.chosen(view.focus(), &pane);
            place.map(|place| (place, pane.rows[place].name.clone()))
        };
        assert_eq!(chosen(&view), Some((1, "pages".to_owned())));
        // By name, state, backends, and requests that are active.
        press(&mut view, &figures, "ssss");
        assert_eq!(shown(&view, &figures), ["pages", "api", "app"]);
        assert_eq!(chosen(&view), Some((0, "pages".to_owned())));
        press(&mut view, &figures, "r");
        assert_eq!(chosen(&view), Some((2, "pages".to_owned())));
        press(&mut view, &figures, "DDDU");
        assert_eq!(chosen(&view), Some((1, "api".to_owned())));
        press(&mut view, &figures, "E");
        assert_eq!(chosen(&view), Some((2, "pages".to_owned())));
        // The group is gone.
        let fewer = Figures::default();
        let pane = view.pane(Focus::Groups, &fewer);
        assert_eq!(view.chosen(Focus::Groups, &pane), None);
        press(&mut view, &fewer, "D\n");
        assert_eq!(view.group(), None);
    }

    #[test]
    fn enter_shows_the_backends_of_a_group_and_escape_goes_back() {
        let (mut view, figures) = (View::new(), figures());
        press(&mut view, &figures, "/PI\n\n");
        assert_eq!((view.group(), view.focus(), view.filter()), (Some("api"), Focus::Backends, ""));
        assert_eq!(shown(&view, &figures), ["10.0.0.1:80"]);
        press(&mut view, &figures, "\t/x\n");
        assert_eq!(shown(&view, &figures), [""; 0]);
        assert!(shown(&view, &Figures::default()).is_empty());
        press(&mut view, &figures, "\x1b");
        assert_eq!((view.group(), view.focus(), view.filter()), (None, Focus::Groups, ""));
    }

    #[test]
    fn what_is_typed_into_a_filter_is_no_command() {
        let (mut view, figures) = (View::new(), figures());
        press(&mut view, &figures, "/qp?\x08");
        assert_eq!((view.filter(), view.is_typing(), view.is_over()), ("qp", true, false));
        press(&mut view, &figures, "\x1b");
        assert_eq!((view.filter(), view.is_typing()), ("", false));
        press(&mut view, &figures, &format!("/{}\n", "x".repeat(200)));
        assert_eq!(view.filter().len(), MAX_FILTER);
        press(&mut view, &figures, "\x1bp?");
        assert!(view.filter().is_empty() && view.is_paused() && view.shows_help());
        // Any key leaves the help, and does nothing else.
        press(&mut view, &figures, "q");
        assert_eq!((view.shows_help(), view.is_over()), (false, false));
        press(&mut view, &figures, "wpq");
        assert_eq!((view.intervals(), view.is_paused(), view.is_over()), (MAX_INTERVALS, false, true));
        let mut view = View::new();
        view.press(Press::Character('/'), &figures, 1);
        view.press(Press::Interrupt, &figures, 1);
        assert!(view.is_over());
    }

    #[test]
    fn other_columns_are_shown_and_nothing_is_sorted_by_those_before() {
        let (mut view, figures) = (View::new(), figures());
        press(&mut view, &figures, "ssssssb");
        assert_eq!((view.shown(), view.sorting(Focus::Groups)), (PaneColumns::Bytes, Sorting::default()));
        let titles = |view: &View| view.pane(Focus::Groups, &figures).headings.last().unwrap().title();
        assert_eq!(titles(&view), "DGRAM/S");
        press(&mut view, &figures, "b");
        assert_eq!((view.shown(), titles(&view)), (PaneColumns::Requests, "P99"));
    }

    #[test]
    fn tables_take_turns() {
        let (mut view, figures) = (View::new(), figures());
        let seen: Vec<Focus> = (0..3)
            .map(|_| {
                press(&mut view, &figures, "\t");
                view.focus()
            })
            .collect();
        assert_eq!(seen, [Focus::Workers, Focus::Listeners, Focus::Groups]);
        view.press(Press::BackTab, &figures, 1);
        assert_eq!(view.focus(), Focus::Listeners);
    }
}
