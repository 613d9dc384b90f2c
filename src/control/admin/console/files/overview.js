// What the process serves, as a tree of listeners, rules, groups and backends, with what happens in them now.

import { h, hashOf, page, showProblem, table } from "./dom.js";
import { availabilityText, backendText, bytesText, classOf, durationText, follow, rateText } from "./live.js";
import { isUnderMaintenance } from "./maintenance.js";
import { spokenText } from "./protocols.js";

const COLUMNS = ["What", "State", "Requests, connections", "4xx", "5xx, failed", "p50", "p99", "In", "Out"];
const DAY_MS = 86_400_000;
/** Certificates with fewer days are shown. */
const DAYS_BEFORE_END = 30;

/** Rows that stay where they are while their cells change, so that focus and selection last. */
class LiveRows {
  constructor(body) {
    this.body = body;
    this.rows = new Map();
  }

  update(wanted) {
    const keys = new Set(wanted.map((row) => row.key));
    for (const [key, row] of this.rows) {
      if (!keys.has(key)) {
        row.element.remove();
        this.rows.delete(key);
      }
    }
    wanted.forEach((row, index) => {
      const known = this.rows.get(row.key) ?? this.added(row);
      if (this.body.children[index] !== known.element) {
        this.body.insertBefore(known.element, this.body.children[index] ?? null);
      }
      const texts = [row.state, ...row.figures];
      texts.forEach((text, place) => {
        const cell = known.cells[place];
        if (cell.textContent !== text) {
          cell.textContent = text;
        }
      });
      known.cells[0].className = row.stateClass ?? "";
    });
  }

  added(row) {
    const name = row.href ? h("a", { href: row.href }, row.name) : row.name;
    const cells = COLUMNS.slice(1).map((_, place) => h("td", place === 0 ? {} : { class: "number" }));
    const kind = h("span", { class: "quiet" }, `${row.kind} `);
    const element = h("tr", {}, h("td", { class: `level-${row.level}` }, kind, name), cells);
    this.rows.set(row.key, { element, cells });
    return this.rows.get(row.key);
  }
}

const NO_FIGURES = COLUMNS.slice(2).map(() => "");

function figures(window, subject) {
  return [
    rateText(window.rate(subject)),
    rateText(window.rate(subject, "clientErrors")),
    rateText(window.rate(subject, "serverErrors")),
    durationText(window.quantile(subject, 0.5)),
    durationText(window.quantile(subject, 0.99)),
    bytesText(window.rate(subject, "received")),
    bytesText(window.rate(subject, "sent")),
  ];
}

/** The state of a group that may be out of service. */
function groupState(status, name, group) {
  const isOut = isUnderMaintenance(status, "server_group", name);
  const word = group?.availability ?? "unknown";
  return { state: isOut ? "maintenance" : availabilityText(word, group?.protocol), stateClass: isOut ? "warn" : classOf(word) };
}

function groupRows(status, window, [name, group], level, path) {
  const key = `${path} group ${name}`;
  const own = {
    key, level, kind: "group", name, href: hashOf("server-groups", name),
    ...groupState(status, name, group), figures: figures(window, `group ${name}`),
  };
  const backends = (group?.backends ?? []).map((backend) => ({
    key: `${key} backend ${backend.address}`, level: level + 1, kind: "backend", name: backend.address,
    state: backendText(backend, group.protocol), stateClass: classOf(backend.state),
    figures: [rateText(window.rate(`backend ${name} ${backend.address}`)), ...NO_FIGURES.slice(1)],
  }));
  return [own, ...backends];
}

function ruleState(status, rule) {
  return isUnderMaintenance(status, "rule", rule.name) ? { state: "maintenance", stateClass: "warn" } : { state: rule.action };
}

function listenerState(listener) {
  if (listener.disabled) {
    return "disabled";
  }
  return listener.leaving ? "leaving" : "serving";
}

/** The tree, row by row. */
export function treeRows(status, window) {
  const rows = [];
  const shown = new Set();
  const groups = new Map(status.groups.map((group) => [group.name, group]));
  const add = (...more) => {
    for (const row of more) {
      rows.push(row);
    }
  };
  for (const listener of status.listeners) {
    const subject = `listener ${listener.leaving ? "leaving " : ""}${listener.name}`;
    const state = listenerState(listener);
    add({
      key: subject, level: 0, kind: "listener", name: `${listener.name} (${spokenText(listener)} at ${listener.addresses.join(", ")})`,
      href: hashOf("listeners", listener.name), state, stateClass: classOf(state), figures: figures(window, subject),
    });
    for (const rule of listener.rules) {
      const key = `${subject} rule ${rule.name}`;
      add({ key, level: 1, kind: `rule ${rule.priority}`, name: rule.name, href: hashOf("rules", rule.name), ...ruleState(status, rule), figures: NO_FIGURES });
      for (const group of rule.groups) {
        shown.add(group.name);
        add(...groupRows(status, window, [group.name, groups.get(group.name)], 2, key));
      }
    }
    if (listener.default_group) {
      shown.add(listener.default_group);
      add(...groupRows(status, window, [listener.default_group, groups.get(listener.default_group)], 1, subject));
    }
  }
  for (const group of status.groups.filter((known) => !shown.has(known.name))) {
    add(...groupRows(status, window, [group.name, group], 0, "no listener"));
  }
  return rows;
}

/** How many days a certificate has left. */
export function daysLeft(notAfter) {
  return Math.floor((Date.parse(notAfter) - Date.now()) / DAY_MS);
}

export function endText(notAfter) {
  const days = daysLeft(notAfter);
  if (Number.isNaN(days)) {
    return notAfter;
  }
  return days < 0 ? `${notAfter} (expired)` : `${notAfter} (${days} days left)`;
}

function certificates(status) {
  const near = status.certificates.filter((certificate) => daysLeft(certificate.not_after) < DAYS_BEFORE_END || certificate.broken);
  const rows = near.map((certificate) => [
    h("a", { href: hashOf("certificates") }, certificate.name),
    h("span", { class: daysLeft(certificate.not_after) < 7 ? "bad" : "warn" }, endText(certificate.not_after)),
    certificate.broken ? certificate.broken.errors.join("; ") : "",
  ]);
  return table("", ["Certificate", "Ends", "Fault"], rows, `No certificate ends within ${DAYS_BEFORE_END} days.`);
}

export function overview({ signal }) {
  const summary = h("dl", {});
  const body = h("tbody", {});
  const head = h("tr", {}, COLUMNS.map((title, index) => h("th", { scope: "col", class: index > 1 ? "number" : null }, title)));
  const ending = h("div", {});
  const wrong = h("div", {});
  const rows = new LiveRows(body);
  let certificatesShown = "";
  const show = (status, window) => {
    wrong.replaceChildren();
    const facts = [
      ["Version", `${status.version}, process ${status.pid}${status.stopping ? ", stopping" : ""}`],
      ["Configuration", `generation ${status.epoch}`],
      ["Up", `${status.uptime_seconds} s`],
      ["Connections", `${status.connections.in_use}${status.connections.limit ? ` of ${status.connections.limit}` : ""}`],
    ];
    summary.replaceChildren(...facts.flatMap(([name, text]) => [h("dt", {}, name), h("dd", {}, text)]));
    rows.update(treeRows(status, window));
    const now = JSON.stringify(status.certificates);
    if (now !== certificatesShown) {
      certificatesShown = now;
      ending.replaceChildren(certificates(status));
    }
  };
  follow(signal, show, (error) => showProblem(wrong, error));
  return page("Overview", wrong, summary,
    h("h2", { id: "tree" }, "Status"),
    h("div", { class: "scroll" }, h("table", { "aria-labelledby": "tree" }, h("thead", {}, head), body)),
    h("p", { class: "hint" }, "Requests, or connections and sessions of UDP, per second in the last second; percentiles of the last ten: of connections and sessions, how long those took that have ended."),
    h("h2", {}, "Certificates near their end"), ending);
}
