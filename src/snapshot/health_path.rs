//! Whether the process takes new connections, and the path at which a listener tells that to the router in front of it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use crate::http::head::Method;
use crate::http::head::RequestHead;

/// Whether the process takes new connections, as it does until it begins to stop.
#[derive(Debug, Default)]
pub struct Readiness {
    is_stopping: AtomicBool,
}

impl Readiness {
    /// Notes that a graceful stop has begun.
    pub fn note_stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    pub fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }
}

/// The path of a listener that is answered with its readiness.
pub struct HealthPath {
    path: Box<[u8]>,
    readiness: Arc<Readiness>,
}

impl HealthPath {
    pub fn new(path: &str, readiness: Arc<Readiness>) -> HealthPath {
        HealthPath { path: path.as_bytes().into(), readiness }
    }

    /// Whether a request asks for it, whatever its query.
    pub fn is_asked_by(&self, head: &RequestHead<'_, '_>) -> bool {
        matches!(head.method, Method::Get | Method::Head) && self.is(head.target.path_and_query)
    }

    fn is(&self, target: &[u8]) -> bool {
        target.strip_prefix(&*self.path).is_some_and(|rest| matches!(rest.first(), None | Some(b'?')))
    }

    pub fn is_ready(&self) -> bool {
        !self.readiness.is_stopping()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_path_is_meant() {
        let health = HealthPath::new("/healthz", Arc::default());
        let others: [&[u8]; 5] = [b"/healthz/", b"/healthzz", b"/Healthz", b"/", b""];
        assert!(health.is(b"/healthz") && health.is(b"/healthz?a=/b"));
        assert!(others.iter().all(|target| !health.is(target)));
    }
}
