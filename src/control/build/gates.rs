//! What a rule asks of its requests before they are served.

use crate::config;
use crate::policy::forward_auth::ForwardAuth;
use crate::snapshot::gates::Gates;

/// None if it asks for nothing. `own_index` finds a group of the configuration among those of the listener.
pub(super) fn build(
    wanted: &config::Gates,
    own_index: impl Fn(usize) -> Option<usize>,
) -> Option<Box<Gates>> {
    let config::Gates { forward_auth } = wanted;
    let forward_auth = forward_auth.as_ref().map(|auth| ForwardAuth {
        // Without a group, nobody passes.
        group: own_index(auth.group).unwrap_or(usize::MAX),
        ..auth.clone()
    });
    forward_auth.is_some().then(|| Box::new(Gates { forward_auth }))
}
