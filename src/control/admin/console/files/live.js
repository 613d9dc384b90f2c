// The status once a second, and what happened between two of them: rates and durations, as `ringway top` makes them.

import { call } from "./api.js";
import { thingsOf } from "./protocols.js";

const PAUSE_MS = 1000;
// Intervals that percentiles are made of: with few requests, one second has too few of them.
const INTERVALS = 10;

/**
 * The sums of a listener or group: counters by name, and durations by the largest of a bucket in microseconds. What relays has
 * connections, or sessions of UDP, in the place of requests.
 */
function tallyOf({ requests, relayed, bytes, accepted }) {
  const ended = requests ?? relayed;
  const counters = requests
    ? { requests: requests.count, clientErrors: requests.client_errors, serverErrors: requests.server_errors }
    : { requests: accepted ?? relayed.count, serverErrors: relayed.failed };
  if (bytes) {
    counters.received = bytes.received;
    counters.sent = bytes.sent;
  }
  return { counters, durations: new Map(ended.duration.buckets) };
}

function document(status) {
  const tallies = new Map();
  for (const listener of status.listeners) {
    if (listener.requests ?? listener.relayed) {
      tallies.set(`listener ${listener.leaving ? "leaving " : ""}${listener.name}`, tallyOf(listener));
    }
  }
  for (const group of status.groups) {
    if (group.requests ?? group.relayed) {
      tallies.set(`group ${group.name}`, tallyOf(group));
    }
    for (const backend of group.backends) {
      tallies.set(`backend ${group.name} ${backend.address}`, { counters: { requests: backend.requests }, durations: new Map() });
    }
  }
  return { pid: status.pid, started: status.started, at: status.uptime_ms, tallies };
}

/** What was counted since; null where a counter fell, because it counts from the beginning again. */
function difference(now, before) {
  const counters = {};
  for (const [name, count] of Object.entries(now.counters)) {
    counters[name] = count - (before.counters[name] ?? 0);
  }
  const durations = new Map();
  for (const [last, count] of now.durations) {
    durations.set(last, count - (before.durations.get(last) ?? 0));
  }
  const all = [...Object.values(counters), ...durations.values()];
  return all.some((count) => count < 0) ? null : { counters, durations };
}

/** The duration at or below which this share lies, in microseconds; null without any. */
export function quantile(durations, share) {
  const buckets = [...durations].filter(([, count]) => count > 0).sort(([one], [other]) => one - other);
  const all = buckets.reduce((sum, [, count]) => sum + count, 0);
  const wanted = Math.max(1, Math.ceil(all * share));
  let seen = 0;
  for (const [last, count] of buckets) {
    seen += count;
    if (seen >= wanted) {
      return last;
    }
  }
  return null;
}

/** The last intervals of one process. */
export class Window {
  constructor() {
    this.newest = null;
    this.intervals = [];
  }

  add(status) {
    const now = document(status);
    const before = this.newest;
    if (before !== null && (before.pid !== now.pid || before.started !== now.started)) {
      this.intervals = [];
    } else if (before !== null && now.at <= before.at) {
      return;
    } else if (before !== null) {
      const tallies = new Map();
      for (const [subject, tally] of now.tallies) {
        const since = before.tallies.has(subject) ? difference(tally, before.tallies.get(subject)) : null;
        if (since !== null) {
          tallies.set(subject, since);
        }
      }
      this.intervals.push({ seconds: (now.at - before.at) / 1000, tallies });
      this.intervals.splice(0, this.intervals.length - INTERVALS);
    }
    this.newest = now;
  }

  /** Per second in the last interval; null: not known. */
  rate(subject, counter = "requests") {
    const last = this.intervals.at(-1);
    const count = last?.tallies.get(subject)?.counters[counter];
    return count === undefined ? null : count / last.seconds;
  }

  /** In microseconds, of all intervals. */
  quantile(subject, share) {
    const durations = new Map();
    for (const { tallies } of this.intervals) {
      for (const [last, count] of tallies.get(subject)?.durations ?? []) {
        durations.set(last, (durations.get(last) ?? 0) + count);
      }
    }
    return quantile(durations, share);
  }
}

/** Asks for the status once a second until `signal` ends it; a page that is not seen asks nothing. */
export async function follow(signal, show, fail) {
  const window = new Window();
  while (!signal.aborted) {
    if (!globalThis.document.hidden) {
      try {
        const status = await call("GET", "status");
        if (signal.aborted) {
          return;
        }
        window.add(status);
        show(status, window);
      } catch (error) {
        if (signal.aborted) {
          return;
        }
        fail(error);
      }
    }
    await new Promise((resolve) => { setTimeout(resolve, PAUSE_MS); });
  }
}

export function rateText(rate) {
  if (rate === null) {
    return "–";
  }
  return `${rate < 10 ? rate.toFixed(1) : Math.round(rate)}/s`;
}

export function bytesText(rate) {
  if (rate === null) {
    return "–";
  }
  const power = rate < 1000 ? 0 : Math.min(4, Math.floor(Math.log10(rate) / 3));
  const number = rate / 1000 ** power;
  return `${number < 10 && power > 0 ? number.toFixed(1) : Math.round(number)} ${["B", "kB", "MB", "GB", "TB"][power]}/s`;
}

export function durationText(us) {
  if (us === null) {
    return "–";
  }
  if (us < 1000) {
    return `${us} µs`;
  }
  return us < 1e6 ? `${(us / 1e3).toFixed(us < 1e4 ? 1 : 0)} ms` : `${(us / 1e6).toFixed(1)} s`;
}

/** Who serves what comes to a group with this protocol, in the words of `ringway status`. */
export function availabilityText(word, protocol) {
  const nobody = `no backend takes ${thingsOf(protocol)}`;
  const sentences = { active: "active backends serve", standby: "standbys serve", all_down: "all backends are down", nobody };
  return sentences[word] ?? word ?? "unknown";
}

/** The state of a backend, and why it gets nothing or is not healthy, as `ringway status` has it. */
export function backendText(backend, protocol) {
  if (backend === undefined) {
    return "disabled";
  }
  const drains = { command: "by command", weight: "its weight is 0" };
  const why = [
    backend.drain_reason ? drains[backend.drain_reason] ?? backend.drain_reason : null,
    backend.reason && backend.status ? `${backend.reason} (status ${backend.status})` : backend.reason,
    backend.ejected_until ? `${thingsOf(protocol)} failed, out until ${backend.ejected_until}` : null,
  ].filter((reason) => reason && reason !== backend.state);
  return [backend.state, why.join("; ")].filter(Boolean).join(": ");
}

/** How good a word of a state is. */
export function classOf(word) {
  if (["healthy", "active", "serving", "unchecked"].includes(word)) {
    return "good";
  }
  return ["unhealthy", "ejected", "all_down", "nobody"].includes(word) ? "bad" : "warn";
}
