//! The figures of `ringway top`: of a document and of what was counted before it. Their names are promised to scripts.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::command::top::tally::Pace;
use crate::command::top::tally::Quantity;
use crate::command::top::tally::Subject;
use crate::command::top::tally::Window;
use crate::control::admin::status::BackendStatus;
use crate::control::admin::status::GroupStatus;
use crate::control::admin::status::ListenerStatus;
use crate::control::admin::status::Status;
use crate::control::admin::status::Usage;
use crate::control::admin::status::Word;

#[derive(Debug, Default, Serialize)]
pub(super) struct Figures {
    pub(super) version: String,
    pub(super) pid: u32,
    pub(super) stopping: bool,
    pub(super) uptime_seconds: u64,
    pub(super) epoch: u64,
    /// How long it was counted for what is told by second and by duration.
    pub(super) seconds: f64,
    pub(super) connections: Usage,
    /// Of all listeners.
    #[serde(flatten)]
    pub(super) traffic: RequestFigures,
    pub(super) reasons_per_second: BTreeMap<String, f64>,
    pub(super) workers: Vec<WorkerFigures>,
    pub(super) listeners: Vec<ListenerFigures>,
    pub(super) groups: Vec<GroupFigures>,
}

/// Requests that have ended. What is not known or not counted is None.
#[derive(Debug, Default, Serialize)]
pub(super) struct RequestFigures {
    pub(super) requests_per_second: Option<f64>,
    pub(super) client_errors_per_second: Option<f64>,
    pub(super) server_errors_per_second: Option<f64>,
    pub(super) retries_per_second: Option<f64>,
    pub(super) p50_seconds: Option<f64>,
    pub(super) p99_seconds: Option<f64>,
}

/// Bytes and datagrams, and connections or sessions of UDP that were relayed. What is not known or not counted is None.
#[derive(Debug, Default, Serialize)]
pub(super) struct RelayFigures {
    pub(super) connections_ended_per_second: Option<f64>,
    pub(super) connections_failed_per_second: Option<f64>,
    /// Of a listener from clients, of a group from backends.
    pub(super) bytes_received_per_second: Option<f64>,
    pub(super) bytes_sent_per_second: Option<f64>,
    pub(super) datagrams_received_per_second: Option<f64>,
    pub(super) datagrams_sent_per_second: Option<f64>,
    /// Only of listeners.
    pub(super) datagrams_lost_per_second: Option<f64>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct WorkerFigures {
    pub(super) worker: usize,
    /// The share of a CPU that its thread has used, 0 to 1.
    pub(super) busy: Option<f64>,
    pub(super) connections: u64,
    pub(super) loop_lag_p50_seconds: Option<f64>,
    pub(super) loop_lag_p99_seconds: Option<f64>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct ListenerFigures {
    pub(super) name: String,
    pub(super) protocol: Word,
    pub(super) http3: bool,
    pub(super) quic_listener: Option<String>,
    pub(super) leaving: bool,
    pub(super) disabled: bool,
    pub(super) connections: Usage,
    pub(super) accepted_per_second: Option<f64>,
    pub(super) refused_per_second: Option<f64>,
    #[serde(flatten)]
    pub(super) traffic: RequestFigures,
    #[serde(flatten)]
    pub(super) relayed: RelayFigures,
    pub(super) reasons_per_second: BTreeMap<String, f64>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct GroupFigures {
    pub(super) name: String,
    pub(super) availability: Word,
    /// Backends that may get requests.
    pub(super) available: usize,
    pub(super) in_flight: u32,
    /// Requests that wait for a backend with room. None where no backend has a limit.
    pub(super) waiting: Option<usize>,
    #[serde(flatten)]
    pub(super) traffic: RequestFigures,
    #[serde(flatten)]
    pub(super) relayed: RelayFigures,
    pub(super) backends: Vec<BackendFigures>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct BackendFigures {
    pub(super) address: String,
    pub(super) role: Option<Word>,
    pub(super) weight: Option<u32>,
    pub(super) state: Word,
    pub(super) reason: Option<Word>,
    pub(super) in_flight: u32,
    pub(super) requests_per_second: Option<f64>,
    pub(super) failures_per_second: Option<f64>,
}

impl Figures {
    /// Of a document, and of what was counted in the `intervals` before it.
    pub(super) fn of(status: &Status, window: &Window, intervals: usize) -> Figures {
        let pace = |subject: &Subject| window.pace(subject, intervals);
        let mut all = Pace::default();
        let listeners = status.listeners.iter().map(|listener| {
            let pace = pace(&Subject::Listener(listener.name.clone(), listener.leaving));
            match listener.relayed {
                // How long connections lasted says nothing of requests.
                Some(_) => all.join(&pace.clone().without_durations()),
                None => all.join(&pace),
            }
            ListenerFigures::of(listener, &pace)
        });
        let listeners = listeners.collect();
        let workers = status.worker_load.iter().enumerate().map(|(worker, load)| {
            let pace = pace(&Subject::Worker(worker));
            WorkerFigures {
                worker,
                // It tells its CPU time ten times a second, so a second may have had eleven tenths.
                busy: pace.rate(&Quantity::CpuMicros).map(|us| (us / 1e6).min(1.0)),
                connections: load.connections,
                loop_lag_p50_seconds: pace.quantile(0.5),
                loop_lag_p99_seconds: pace.quantile(0.99),
            }
        });
        let groups = status.groups.iter().map(|group| GroupFigures {
            backends: group
                .backends
                .iter()
                .map(|backend| {
                    let subject = Subject::Backend(group.name.clone(), backend.address.clone());
                    BackendFigures::of(backend, &pace(&subject))
                })
                .collect(),
            ..GroupFigures::of(group, &pace(&Subject::Group(group.name.clone())))
        });
        Figures {
            version: status.version.clone(),
            pid: status.pid,
            stopping: status.stopping,
            uptime_seconds: status.uptime_seconds,
            epoch: status.epoch,
            seconds: window.seconds(intervals),
            connections: status.connections.clone(),
            traffic: RequestFigures::of(&all),
            reasons_per_second: all.reasons(),
            workers: workers.collect(),
            listeners,
            groups: groups.collect(),
        }
    }
}

impl RequestFigures {
    fn of(pace: &Pace) -> RequestFigures {
        RequestFigures {
            requests_per_second: pace.rate(&Quantity::Requests),
            client_errors_per_second: pace.rate(&Quantity::ClientErrors),
            server_errors_per_second: pace.rate(&Quantity::ServerErrors),
            retries_per_second: pace.rate(&Quantity::Retries),
            p50_seconds: pace.quantile(0.5),
            p99_seconds: pace.quantile(0.99),
        }
    }
}

impl RelayFigures {
    fn of(pace: &Pace) -> RelayFigures {
        RelayFigures {
            connections_ended_per_second: pace.rate(&Quantity::RelayedEnds),
            connections_failed_per_second: pace.rate(&Quantity::RelayedFailures),
            bytes_received_per_second: pace.rate(&Quantity::BytesReceived),
            bytes_sent_per_second: pace.rate(&Quantity::BytesSent),
            datagrams_received_per_second: pace.rate(&Quantity::DatagramsReceived),
            datagrams_sent_per_second: pace.rate(&Quantity::DatagramsSent),
            datagrams_lost_per_second: pace.rate(&Quantity::DatagramsLost),
        }
    }

    /// Of both directions.
    pub(super) fn datagrams_per_second(&self) -> Option<f64> {
        Some(self.datagrams_received_per_second? + self.datagrams_sent_per_second?)
    }
}

impl ListenerFigures {
    fn of(listener: &ListenerStatus, pace: &Pace) -> ListenerFigures {
        ListenerFigures {
            name: listener.name.clone(),
            protocol: listener.protocol.clone(),
            http3: listener.http3,
            quic_listener: listener.quic_listener.clone(),
            leaving: listener.leaving,
            disabled: listener.disabled,
            connections: listener.connections.clone(),
            accepted_per_second: pace.rate(&Quantity::Accepted),
            refused_per_second: pace.rate(&Quantity::Refused),
            traffic: RequestFigures::of(pace),
            relayed: RelayFigures::of(pace),
            reasons_per_second: pace.reasons(),
        }
    }
}

impl GroupFigures {
    fn of(group: &GroupStatus, pace: &Pace) -> GroupFigures {
        GroupFigures {
            name: group.name.clone(),
            availability: group.availability.clone(),
            available: group.backends.iter().filter(|backend| backend.available).count(),
            in_flight: group.in_flight,
            waiting: group.queue.as_ref().map(|queue| queue.in_use),
            traffic: RequestFigures::of(pace),
            relayed: RelayFigures::of(pace),
            backends: Vec::new(),
        }
    }
}

impl BackendFigures {
    fn of(backend: &BackendStatus, pace: &Pace) -> BackendFigures {
        BackendFigures {
            address: backend.address.clone(),
            role: backend.role.clone(),
            weight: backend.weight,
            state: backend.state.clone(),
            reason: backend.reason.clone(),
            in_flight: backend.in_flight,
            requests_per_second: pace.rate(&Quantity::Requests),
            failures_per_second: pace.rate(&Quantity::Failures),
        }
    }
}
