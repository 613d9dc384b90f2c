//! Calls that are made again because their answer got lost: with the same `Idempotency-Key` they change nothing, and get the
//! answer of the first one.

#![expect(clippy::disallowed_types, reason = "no worker comes here")]

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use crate::control::admin::api::problem::ApiProblem;
use crate::control::admin::http::request::AdminRequest;
use crate::control::admin::http::response::AdminResponse;
use crate::net::clock::instant_now;
use crate::policy::balance::hash_key::hash;

/// Answers that are kept, what they may take together, and for how long. They are gone with the process.
const MAX_KEPT: usize = 256;
const MAX_KEPT_BYTES: usize = 16 << 20;
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Bytes of a key.
const MAX_KEY_BYTES: usize = 255;

/// Answers by the key that came with their call.
#[derive(Default)]
pub(super) struct KeptAnswers {
    kept: Mutex<VecDeque<KeptAnswer>>,
}

struct KeptAnswer {
    /// Who asked, and the key.
    key: (String, String),
    /// Of what was asked for.
    asked: u64,
    /// None: it is not answered yet.
    answer: Option<AdminResponse>,
    since: Instant,
}

/// What is to become of a call with a key.
pub(super) enum KeyUse {
    /// It comes for the first time.
    First,
    /// It was answered so.
    Answered(AdminResponse),
}

impl KeptAnswers {
    fn lock(&self) -> MutexGuard<'_, VecDeque<KeptAnswer>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks for the key of a call, and remembers it.
    ///
    /// # Errors
    /// The key is too long, was used for something else, or its first call is still under way.
    pub(super) fn begin(&self, request: &AdminRequest, key: &str) -> Result<KeyUse, Box<ApiProblem>> {
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            let help = format!("send 1 to {MAX_KEY_BYTES} characters");
            return Err(ApiProblem::new(400, "this is no Idempotency-Key", help));
        }
        let mut kept = self.lock();
        kept.retain(|one| one.since.elapsed() < LIFETIME);
        let own = own(request, key);
        let asked = asked(request);
        match kept.iter().find(|one| one.key == own) {
            None => {}
            Some(one) if one.asked != asked => {
                let detail = "this Idempotency-Key was used for another call";
                return Err(ApiProblem::new(422, detail, "take a new key for each change"));
            }
            Some(KeptAnswer { answer: Some(answer), .. }) => return Ok(KeyUse::Answered(answer.clone())),
            Some(_) => {
                let detail = "the call with this Idempotency-Key is still under way";
                return Err(ApiProblem::new(409, detail, "try again in a second").with("Retry-After", "1"));
            }
        }
        if kept.len() >= MAX_KEPT {
            kept.pop_front();
        }
        kept.push_back(KeptAnswer { key: own, asked, answer: None, since: instant_now() });
        Ok(KeyUse::First)
    }

    /// Remembers the answer to the first call; one that tells to try again is none.
    pub(super) fn end(&self, request: &AdminRequest, key: &str, answer: &AdminResponse) {
        let mut kept = self.lock();
        let own = own(request, key);
        // What stands in the way may be gone when the client asks again.
        let is_final = answer.status < 500 && !matches!(answer.status, 409 | 412 | 429);
        match kept.iter_mut().find(|one| one.key == own) {
            Some(one) if is_final => one.answer = Some(answer.clone()),
            _ => kept.retain(|one| one.key != own),
        }
        let bytes = |kept: &VecDeque<KeptAnswer>| -> usize {
            kept.iter().filter_map(|one| Some(one.answer.as_ref()?.content.len())).sum()
        };
        while bytes(&kept) > MAX_KEPT_BYTES && kept.pop_front().is_some() {}
    }
}

fn own(request: &AdminRequest, key: &str) -> (String, String) {
    (request.actor.name.clone(), key.to_owned())
}

fn asked(request: &AdminRequest) -> u64 {
    let condition = request.field("if-match").unwrap_or_default();
    let head = format!("{} {} {:?} {condition} ", request.method, request.path, request.parameters());
    hash(&[head.as_bytes(), &request.content].concat())
}
