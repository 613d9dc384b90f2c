//! What a request has to pass before it is served: prepared while its head is at hand, passed before anything is done for it.

use crate::exchange::basic_auth;
use crate::exchange::basic_auth::Login;
use crate::exchange::error::ExchangeError;
use crate::exchange::forward::Forward;
use crate::exchange::forward_auth;
use crate::exchange::message::Origin;
use crate::exchange::message::Request;
use crate::exchange::record::Recording;
use crate::exchange::response_edits::ResponseTerms;
use crate::exchange::stream::Stream;
use crate::policy::forwarded::Client;
use crate::snapshot::gates::Gates;
use crate::upstream::request::PreparedRequest;
use crate::worker::Worker;

/// A request in front of the gates of its rule.
pub(super) struct Gate {
    rule: u32,
    login: Option<Login>,
    /// What the service is asked.
    question: Option<Box<Forward>>,
}

/// Prepares the gates of the rule with this index; None if it has none.
pub(super) fn prepare(
    request: &Request<'_, '_>,
    (client, origin): (&Client<'_>, &Origin<'_>),
    rule: u32,
    worker: &Worker,
) -> Option<Box<Gate>> {
    let gates = gates_of(rule, origin)?;
    let login = gates.basic_auth.as_ref().map(|auth| Login::of(request, auth, worker));
    let auth = gates.forward_auth.as_ref();
    let question =
        auth.and_then(|auth| forward_auth::prepare(request, (client, origin), (auth, gates), worker));
    Some(Box::new(Gate { rule, login, question }))
}

fn gates_of<'o>(rule: u32, origin: &Origin<'o>) -> Option<&'o Gates> {
    origin.http.rule(rule)?.gates.as_deref()
}

impl Gate {
    /// Waits until it is known whether the request may pass; None if it may, else how it ended. `request` is what
    /// would be forwarded.
    pub(super) async fn pass<S: Stream>(
        &mut self,
        (stream, request): (&mut S, Option<&mut PreparedRequest>),
        recording: &mut Recording,
        terms: &ResponseTerms<'_>,
    ) -> Option<Result<(), ExchangeError>> {
        let ResponseTerms { origin, worker, .. } = *terms;
        let gates = gates_of(self.rule, origin)?;
        if let Some(auth) = &gates.basic_auth {
            match self.login.as_ref().unwrap_or(&Login::Missing).verify(auth, stream, worker).await {
                Ok(None) => {}
                Ok(Some(reason)) => {
                    return Some(basic_auth::refuse(reason, auth, stream, recording, terms).await);
                }
                Err(error) => return Some(Err(error)),
            }
        }
        if let Some(auth) = &gates.forward_auth {
            let question = self.question.as_deref_mut();
            let group = origin.listener.group(auth.group);
            match forward_auth::ask(question, request, (stream, recording), (auth, group), worker).await {
                Ok(None) => {}
                Ok(Some(answer)) => {
                    forward_auth::deny(answer, stream, recording, terms).await;
                    return Some(Ok(()));
                }
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }
}
