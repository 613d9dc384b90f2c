// What forms of listeners offer, and what they say.

import { call, list } from "./api.js";
import { h } from "./dom.js";
import { withProtocols } from "./protocols.js";

/** The policies that need no definition, those that are worth offering first. */
export const POLICIES = [
  "tls_cipher_policy_1_2_strict_with_1_3", "tls_cipher_policy_1_2_strict", "tls_cipher_policy_1_2", "tls-1-2-fs-with-1-3", "tls-1-2-strict", "tls-1-2-fs", "tls-1-2",
];

/** What lists of a form offer; `groups` are objects with the protocol that they speak. */
export async function choices() {
  const lists = ["certificates", "cas", "tls-policies", "server-groups", "listeners"].map(list);
  const [status, certificates, cas, policies, groups, listeners] = await Promise.all([call("GET", "status"), ...lists]);
  const names = (objects) => objects.map((object) => object.name);
  return {
    certificates: names(certificates), cas: names(cas), policies: [...names(policies), ...POLICIES],
    groups: withProtocols(groups, status.groups), listeners: names(listeners),
    quicListeners: names(withProtocols(listeners, status.listeners).filter(({ protocol }) => protocol === "quic")),
  };
}

/** An address with a port. */
export function addressOf(host, port) {
  const text = host.trim();
  return text.includes(":") && !text.startsWith("[") ? `[${text}]:${port}` : `${text}:${port}`;
}

export const HOST_HINT = "0.0.0.0: all IPv4 addresses of this machine; [::] takes IPv6 too.";

/** What is wrong with an address and a port that were typed, with their boxes. */
export function placeFaults(host, port) {
  const number = Number(port.value);
  return [
    /^[^\s/]+$/.test(host.value.trim()) ? null : { control: host, text: "Listener address: write an IP address, such as 0.0.0.0 or [::]." },
    port.value !== "" && Number.isInteger(number) && number >= 0 && number <= 65535 ? null : { control: port, text: "Listener port: write a number from 1 to 65535." },
  ].filter(Boolean);
}

/** What is to be done outside of Ringway once a listener serves names: records hold addresses without ports. */
export function dnsSentence(addresses) {
  const hosts = [addresses].flat().map((address) => address.replace(/^(\[.*\]|[^:]*):[0-9]+$/, "$1").replace(/^\[(.*)\]$/, "$1"));
  const own = new Set(hosts.map((host) => (host === "0.0.0.0" || host === "::" ? "the address of this machine" : host)));
  return `Point the A and AAAA records of your names at ${[...own].join(", ")}.`;
}

export function dnsNote(addresses) {
  return h("div", { class: "note" }, h("p", {}, dnsSentence(addresses)),
    h("p", { class: "quiet" }, "If clients come through a router or an address translation, at the address that they see."));
}
