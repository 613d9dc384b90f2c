//! Beginning an upgrade, from whichever thread: a successor is started, or waited for, and everything offered to it.

use std::path::Path;
use std::sync::mpsc::Sender;

use crate::control::active_config::Channels;
use crate::control::handover::channel::HandoverChannel;
use crate::control::handover::offer::HandOverOffer;
use crate::control::handover::progress::UpgradeOutcome;
use crate::control::handover::start::SuccessorCommand;
use crate::control::handover::succession::STOPPING;
use crate::control::reload::Command;
use crate::net::packet_socket::PacketSocket;

/// Starts a successor and offers it everything; `answer` gets to know how that ends.
///
/// # Errors
/// There can be no successor now, or it cannot be started.
pub fn begin(
    channels: &Channels,
    commands: &Sender<Command>,
    binary: Option<&Path>,
    answer: Option<Sender<UpgradeOutcome>>,
) -> Result<(), String> {
    let under_way = channels.succession.begin()?;
    if channels.readiness.is_stopping() {
        return Err(STOPPING.to_owned());
    }
    let command = channels.succession.command.get();
    let start = |command: &SuccessorCommand| command.start(binary, channels.succession.launcher.get());
    let (channel, child) = command.map(start).unwrap_or_else(|| {
        Err("what is served came from no file, so that no other process can read it".to_owned())
    })?;
    let offer = HandOverOffer::new(channel, Some(child));
    send(commands, Command::HandOver { offer: Box::new(offer), under_way, answer })
}

/// Offers everything to a process that was started elsewhere; returns its end of the channel.
///
/// # Errors
/// There can be no successor now.
pub fn offer(channels: &Channels, commands: &Sender<Command>) -> Result<PacketSocket, String> {
    let under_way = channels.succession.begin()?;
    let (channel, its) = HandoverChannel::pair().map_err(|error| format!("cannot hand over: {error}"))?;
    let offer = HandOverOffer::new(channel, None);
    send(commands, Command::HandOver { offer: Box::new(offer), under_way, answer: None })?;
    Ok(its)
}

fn send(commands: &Sender<Command>, command: Command) -> Result<(), String> {
    commands.send(command).map_err(|_| "the thread that reloads has ended".to_owned())
}
