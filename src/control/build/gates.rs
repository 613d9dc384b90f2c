//! What a rule asks of its requests before they are served.

use crate::config;
use crate::control::credentials::password_files;
use crate::control::credentials::password_files::LoadedPasswordFile;
use crate::policy::forward_auth::ForwardAuth;
use crate::snapshot::gates::BasicAuth;
use crate::snapshot::gates::Gates;

/// None if it asks for nothing. `own_index` finds a group of the configuration among those of the listener.
pub(super) fn build(
    wanted: &config::Gates,
    own_index: impl Fn(usize) -> Option<usize>,
    files: &[LoadedPasswordFile],
) -> Option<Box<Gates>> {
    let config::Gates { basic_auth, forward_auth } = wanted;
    if basic_auth.is_none() && forward_auth.is_none() {
        return None;
    }
    let basic_auth = basic_auth.as_ref().map(|auth| BasicAuth {
        challenge: format!("Basic realm=\"{}\", charset=\"UTF-8\"", auth.realm),
        // Without a file, nobody is known.
        users: password_files::users(files, &auth.file.path).unwrap_or_default(),
        passes_authorization: auth.passes_authorization,
    });
    let forward_auth = forward_auth.as_ref().map(|auth| ForwardAuth {
        // Without a group, nobody passes.
        group: own_index(auth.group).unwrap_or(usize::MAX),
        ..auth.clone()
    });
    Some(Box::new(Gates { basic_auth, forward_auth }))
}
