//! `[tracing]`: what is told of the traces that requests belong to.

use crate::policy::overrides::Sample;
use crate::policy::trace::TraceSource;

#[derive(Clone, Debug, PartialEq)]
pub struct Tracing {
    /// Headers of traces are read, made and passed on.
    pub propagate: bool,
    /// Whose headers are believed.
    pub accept_from: TraceSource,
    /// Of the traces that begin here.
    pub sample: Sample,
}
