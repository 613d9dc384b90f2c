//! What a rule says in the place of its listener and of its group.

use std::time::Duration;

/// None: what the listener or the group says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Bytes of content that a request may have; 0: unlimited.
    pub max_body_bytes: Option<u64>,
    /// Between two reads of a request's content, and between two writes of a response.
    pub client_body_timeout: Option<Duration>,
    /// How long a backend may be silent.
    pub response_timeout: Option<Duration>,
    /// How long neither side of a tunnel may say anything; zero: for ever.
    pub tunnel_idle_timeout: Option<Duration>,
    /// In each direction, beside the limit of the listener.
    pub bandwidth_bytes_per_second: Option<u64>,
    pub log: Option<LoggedRequests>,
    pub sample: Option<Sample>,
}

/// How many of the requests that `log` names have a line: so many of a million, chosen at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample(u32);

impl Sample {
    pub const ALL: Sample = Sample(1_000_000);

    /// None beyond 0 to 1.
    pub fn of_fraction(fraction: f64) -> Option<Sample> {
        (0.0..=1.0).contains(&fraction).then(|| Sample((fraction * 1e6).round() as u32))
    }

    pub fn fraction(self) -> f64 {
        f64::from(self.0) / 1e6
    }

    /// Of a million.
    pub fn millionths(self) -> u32 {
        self.0
    }
}

/// Which requests of a rule have a line in the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoggedRequests {
    All,
    /// Those with a status from 400 on.
    Errors,
    Off,
}

impl LoggedRequests {
    /// Whether a request that ended with this status, which is 0 for one without an answer, has a line.
    pub fn has(self, status: u16) -> bool {
        match self {
            LoggedRequests::All => true,
            LoggedRequests::Errors => status == 0 || status >= 400,
            LoggedRequests::Off => false,
        }
    }
}
