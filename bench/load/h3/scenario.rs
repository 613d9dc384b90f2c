//! What is measured, and the load for it.

use crate::client::Client;
use crate::message;
use crate::peers::Peer;
use crate::session::Work;
use ringway_bench::now;
use ringway_bench::site::Site;
use std::time::Duration;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scenario {
    /// Requests of 128 bytes on 64 connections, 16 at a time on each.
    Requests,
    /// One long response.
    Bulk,
    /// New connections with a full handshake, each with one request, 32 at a time.
    Handshake,
    /// Silent connections; see `main.rs`.
    Idle,
    /// As `Requests`, but so many a second that each worker is busy for a part of the time: two workers beside one.
    Workers,
}

/// Of `Requests`.
const CONNECTIONS: usize = 64;
const STREAMS: usize = 16;
/// Of `Handshake`, and of those that open what is idle afterwards.
const CONCURRENT: usize = 32;
/// Of the response of `Bulk`, asked for again when it has come.
const LONG: u64 = 1 << 30;
const MIB: f64 = 1_048_576.0;
/// Load before what is measured: handshakes, slow start, connections to the origin.
const WARM_UP: Duration = Duration::from_millis(300);
/// For a burst of connections that are to become idle.
pub(crate) const OPENING: Duration = Duration::from_secs(10);

/// One turn of a proxy.
pub(crate) struct Turn {
    pub(crate) units: f64,
    pub(crate) cpu_us: f64,
    pub(crate) seconds: f64,
}

/// How a proxy is loaded.
#[derive(Clone, Copy)]
pub(crate) struct LoadTerms {
    pub(crate) time: Duration,
    /// The share of datagrams that the client drops each way, in per cent.
    pub(crate) loss: f64,
    /// Requests a second of `Workers`.
    pub(crate) rate: Option<f64>,
}

impl Scenario {
    pub(crate) const ALL: [Scenario; 5] =
        [Scenario::Requests, Scenario::Bulk, Scenario::Handshake, Scenario::Idle, Scenario::Workers];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Scenario::Requests => "requests",
            Scenario::Bulk => "bulk",
            Scenario::Handshake => "handshake",
            Scenario::Idle => "idle",
            Scenario::Workers => "workers",
        }
    }

    pub(crate) fn named(name: &str) -> Result<Scenario, String> {
        Scenario::ALL.into_iter().find(|it| it.name() == name).ok_or_else(|| format!("no scenario `{name}`"))
    }

    pub(crate) fn unit(self) -> &'static str {
        match self {
            Scenario::Requests | Scenario::Workers => "request",
            Scenario::Bulk => "MiB",
            Scenario::Handshake | Scenario::Idle => "connection",
        }
    }

    fn connections(self) -> usize {
        match self {
            Scenario::Requests | Scenario::Workers => CONNECTIONS,
            Scenario::Bulk => 1,
            Scenario::Handshake | Scenario::Idle => CONCURRENT,
        }
    }

    fn work(self, rate: Option<f64>) -> Work {
        match self {
            Scenario::Requests | Scenario::Workers => {
                Work { request: message::get("/"), length: 128, streams: STREAMS, requests: None, rate }
            }
            Scenario::Bulk => Work {
                request: message::get(&format!("/bytes/{LONG}")),
                length: LONG,
                streams: 1,
                requests: None,
                rate: None,
            },
            Scenario::Handshake | Scenario::Idle => one_request(),
        }
    }

    /// Loads a proxy for so long.
    pub(crate) fn load(self, peer: &Peer, site: &Site, terms: &LoadTerms) -> Result<Turn, String> {
        let LoadTerms { time, loss, rate } = *terms;
        let replace = self == Scenario::Handshake;
        let mut client = Client::new(peer.address, site, self.work(rate), loss)?;
        (0..self.connections()).try_for_each(|_| client.connect())?;
        client.run(now() + WARM_UP, replace)?;
        let (units, cpu, begin) = (self.units(&client), peer.process.cpu_ns(), now());
        client.run(begin + time, replace)?;
        let cpu_us = (peer.process.cpu_ns() - cpu) as f64 / 1_000.0;
        let turn =
            Turn { units: self.units(&client) - units, cpu_us, seconds: begin.elapsed().as_secs_f64() };
        client.close();
        if turn.units > 0.0 { Ok(turn) } else { Err(format!("no {} came", self.unit())) }
    }

    fn units(self, client: &Client) -> f64 {
        match self {
            Scenario::Requests | Scenario::Workers => client.counters.responses as f64,
            Scenario::Bulk => client.counters.content as f64 / MIB,
            Scenario::Handshake | Scenario::Idle => client.counters.done as f64,
        }
    }
}

fn one_request() -> Work {
    Work { request: message::get("/"), length: 128, streams: 1, requests: Some(1), rate: None }
}

/// Connections that have each had one response, and stay open. `within` is the time for 32 of them.
pub(crate) fn served(peer: &Peer, site: &Site, count: usize, within: Duration) -> Result<Client, String> {
    let mut client = Client::new(peer.address, site, one_request(), 0.0)?;
    let mut opened = 0;
    while opened < count {
        let more = CONCURRENT.min(count - opened);
        (0..more).try_for_each(|_| client.connect())?;
        opened += more;
        client.run_until_done(opened as u64, within)?;
    }
    Ok(client)
}
