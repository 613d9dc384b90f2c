//! Threads that serve one client each, all of them there from the start.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

/// Between two attempts to accept while that fails, as without a free descriptor.
const ACCEPT_RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// As many clients as are served at a time. The threads live as long as the process.
pub(super) struct ClientSlots<S>(Vec<ClientSlot<S>>);

struct ClientSlot<S> {
    is_busy: Arc<AtomicBool>,
    streams: Sender<S>,
}

impl<S: Send + 'static> ClientSlots<S> {
    /// Starts `count` threads of this name, each of which serves its clients with a copy of `serve`.
    pub(super) fn start(
        count: usize,
        name: &str,
        serve: impl Fn(S) + Clone + Send + 'static,
    ) -> io::Result<ClientSlots<S>> {
        let slots = (0..count).map(|_| ClientSlot::start(name, serve.clone()));
        slots.collect::<io::Result<Vec<_>>>().map(ClientSlots)
    }

    /// Accepts until nothing is to be accepted any more. Who finds no thread free is handed to `reject`.
    pub(super) fn fill(&self, accept: impl Fn() -> io::Result<Option<S>>, reject: impl Fn(S)) {
        loop {
            let stream = match accept() {
                Ok(Some(stream)) => stream,
                Ok(None) => return,
                Err(_) => {
                    thread::sleep(ACCEPT_RETRY_INTERVAL);
                    continue;
                }
            };
            match self.0.iter().find(|slot| !slot.is_busy.swap(true, Ordering::AcqRel)) {
                Some(slot) => drop(slot.streams.send(stream)),
                None => reject(stream),
            }
        }
    }
}

impl<S: Send + 'static> ClientSlot<S> {
    fn start(name: &str, serve: impl Fn(S) + Send + 'static) -> io::Result<ClientSlot<S>> {
        let (streams, inbox) = mpsc::channel();
        let is_busy = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&is_busy);
        let body = move || {
            for stream in inbox {
                serve(stream);
                is_over.store(false, Ordering::Release);
            }
        };
        thread::Builder::new().name(name.to_owned()).spawn(body)?;
        Ok(ClientSlot { is_busy, streams })
    }
}
