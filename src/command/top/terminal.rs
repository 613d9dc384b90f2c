//! `ringway top` on a terminal: asks in a thread, draws, obeys keys, and leaves the terminal as it was.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event;
use ratatui::crossterm::event::Event as Input;
use ratatui::crossterm::event::KeyCode;
use ratatui::crossterm::event::KeyEvent;
use ratatui::crossterm::event::KeyEventKind;
use ratatui::crossterm::event::KeyModifiers;

use crate::command::exit::Exit;
use crate::command::top::asking::INTERVAL;
use crate::command::top::asking::ask;
use crate::command::top::figures::Figures;
use crate::command::top::screen::Scene;
use crate::command::top::tally::Window;
use crate::command::top::view::Press;
use crate::command::top::view::View;
use crate::control::admin::status::Status;
use crate::control::process::signals::note_ending;
use crate::net::clock::instant_now;

/// How long a signal may wait.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Without an answer for so long, the figures are old.
const SILENCE: Duration = Duration::from_secs(3);

/// What has come and was not looked at yet. Who has more to say waits.
const MAX_WAITING: usize = 64;

/// What reaches the loop.
enum Incoming {
    Status(Box<Result<Status, String>>),
    Input(Input),
}

/// Shows the process at `path` until the operator has seen enough.
///
/// # Errors
/// A sentence: nobody answers the first question, or the terminal is not what it should be.
pub(super) fn run(path: &Path, in_colour: bool) -> Result<Exit, String> {
    // Whoever named the wrong socket is told so here, and gets no empty screen.
    let first = ask(path)?;
    let cannot = |what: &str, error: &dyn std::fmt::Display| format!("cannot {what}: {error}");
    let is_ending = note_ending().map_err(|error| cannot("wait for signals", &error))?;
    // Also restores it when the program panics.
    let mut terminal = ratatui::try_init().map_err(|error| {
        // Half of it may be done.
        drop(ratatui::try_restore());
        cannot("draw on this terminal", &error)
    })?;
    let mut display = Display::new(in_colour);
    display.take(Incoming::Status(Box::new(Ok(first))));
    let outcome =
        start_threads(path).map_err(|error| cannot("start a thread", &error)).and_then(|(inbox, threads)| {
            while !is_ending.load(Ordering::Relaxed) && !display.view.is_over() {
                display.turn(&mut terminal, &inbox)?;
                if threads.iter().any(JoinHandle::is_finished) {
                    return Err(
                        "the terminal cannot be read, or a fault of Ringway's own has ended a thread"
                            .to_owned(),
                    );
                }
            }
            Ok(Exit::Success)
        });
    let restored = ratatui::try_restore().map_err(|error| cannot("restore the terminal", &error));
    outcome.and_then(|exit| restored.map(|()| exit))
}

/// Two threads that end with the process.
fn start_threads(path: &Path) -> io::Result<(Receiver<Incoming>, [JoinHandle<()>; 2])> {
    let (asking, inbox) = mpsc::sync_channel(MAX_WAITING);
    let reading = asking.clone();
    let path = path.to_owned();
    let thread = || thread::Builder::new().name("ringway-top".to_owned());
    let asks = thread().spawn(move || {
        loop {
            thread::sleep(INTERVAL);
            if asking.send(Incoming::Status(Box::new(ask(&path)))).is_err() {
                return;
            }
        }
    })?;
    // Where a terminal has gone away, crossterm reads on and on and does not return. The loop notices.
    let reads = thread().spawn(move || {
        while let Ok(input) = event::read() {
            if reading.send(Incoming::Input(input)).is_err() {
                return;
            }
        }
    })?;
    Ok((inbox, [asks, reads]))
}

struct Display {
    view: View,
    window: Window,
    status: Status,
    figures: Figures,
    /// Why the last question was not answered.
    trouble: Option<String>,
    /// When the last answer came.
    answered: Instant,
    in_colour: bool,
    /// Something has come that the screen does not show yet.
    is_stale: bool,
    /// How many rows the table in front shows.
    page: usize,
}

impl Display {
    fn new(in_colour: bool) -> Display {
        Display {
            view: View::new(),
            window: Window::default(),
            status: Status::default(),
            figures: Figures::default(),
            trouble: None,
            answered: instant_now(),
            in_colour,
            is_stale: true,
            page: 1,
        }
    }

    /// Draws if anything is new, waits for a moment, and takes over what has come.
    fn turn(&mut self, terminal: &mut DefaultTerminal, inbox: &Receiver<Incoming>) -> Result<(), String> {
        let silence = instant_now().saturating_duration_since(self.answered);
        let silent = format!("nothing came for {} s", silence.as_secs());
        let trouble = self.trouble.as_deref().or((silence >= SILENCE).then_some(silent.as_str()));
        if !std::mem::take(&mut self.is_stale) && silence < SILENCE {
            return self.wait(inbox);
        }
        let scene = Scene { figures: &self.figures, view: &self.view, trouble, in_colour: self.in_colour };
        let mut page = 1;
        let lost = |error| format!("the terminal is lost: {error}");
        terminal.draw(|frame| page = scene.draw(frame)).map_err(lost)?;
        self.page = page;
        self.wait(inbox)
    }

    /// Waits for a moment, and takes over what has come.
    fn wait(&mut self, inbox: &Receiver<Incoming>) -> Result<(), String> {
        match inbox.recv_timeout(LOOK_INTERVAL) {
            Ok(incoming) => self.take(incoming),
            Err(RecvTimeoutError::Timeout) => return Ok(()),
            Err(RecvTimeoutError::Disconnected) => return Err("the thread that asks has ended".to_owned()),
        }
        // A text that was pasted is one screen, not one for each character.
        inbox.try_iter().take(MAX_WAITING).for_each(|incoming| self.take(incoming));
        Ok(())
    }

    fn take(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Status(answer) => match *answer {
                Ok(status) => {
                    self.window.add(&status);
                    self.status = status;
                    self.trouble = None;
                    self.answered = instant_now();
                    self.refresh();
                }
                Err(error) => self.trouble = Some(error),
            },
            Incoming::Input(input) => {
                let before = (self.view.intervals(), self.view.is_paused());
                if let Some(press) = press(&input) {
                    self.view.press(press, &self.figures, self.page);
                }
                if before != (self.view.intervals(), self.view.is_paused()) {
                    self.refresh();
                }
            }
        }
        self.is_stale = true;
    }

    fn refresh(&mut self) {
        if !self.view.is_paused() {
            self.figures = Figures::of(&self.status, &self.window, self.view.intervals());
        }
    }
}

/// None: a key that means nothing, or the terminal has another size, which the next screen finds out.
fn press(input: &Input) -> Option<Press> {
    let Input::Key(KeyEvent { code, modifiers, kind, .. }) = input else { return None };
    if *kind == KeyEventKind::Release {
        return None;
    }
    let is_control = modifiers.contains(KeyModifiers::CONTROL);
    Some(match code {
        KeyCode::Char('c') if is_control => Press::Interrupt,
        KeyCode::Char(_) if is_control || modifiers.contains(KeyModifiers::ALT) => return None,
        KeyCode::Char(character) => Press::Character(*character),
        KeyCode::Enter => Press::Enter,
        KeyCode::Esc => Press::Escape,
        KeyCode::Backspace => Press::Backspace,
        KeyCode::Tab => Press::Tab,
        KeyCode::BackTab => Press::BackTab,
        KeyCode::Up => Press::Up,
        KeyCode::Down => Press::Down,
        KeyCode::PageUp => Press::PageUp,
        KeyCode::PageDown => Press::PageDown,
        KeyCode::Home => Press::Home,
        KeyCode::End => Press::End,
        _ => return None,
    })
}
