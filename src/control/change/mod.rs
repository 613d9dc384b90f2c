//! Changes of the configuration by others than an editor: the files are changed as little as can be, what they say then goes
//! into service as by a reload, and only then they take the place of the old ones.

pub(super) mod engine;
pub mod journal;
pub mod order;
mod plan;
mod refusals;
mod rules;
pub(super) mod staging;
#[cfg(test)]
mod tests;
mod uploads;
