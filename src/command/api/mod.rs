//! Verbs that read and change the configuration of a running Ringway: thin callers of its management API.

pub(super) mod archive;
pub(super) mod backend;
pub(super) mod certificate;
pub(super) mod diff;
mod form;
pub(super) mod group;
pub(super) mod ip_group;
pub(super) mod listener;
pub(super) mod names;
mod object;
pub(super) mod rule;
mod settings;
