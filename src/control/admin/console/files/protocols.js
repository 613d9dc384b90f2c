// What listeners and server groups speak, what of it fits together, and the words for what comes in.

/** Listeners as forms offer them. TLS that is passed through is one of them, because it needs no certificate. */
export const LISTENER_KINDS = [
  ["https", "HTTPS"], ["http", "HTTP"], ["quic", "QUIC (HTTP/3 alone)"], ["tcp", "TCP"], ["tls", "TLS that ends here"], ["passthrough", "TLS that is passed through"], ["udp", "UDP"],
];

const GROUP_PROTOCOLS = [
  ["http", "HTTP"], ["https", "HTTPS"], ["h2c", "HTTP/2 in cleartext"], ["grpc", "gRPC"], ["tcp", "TCP"], ["tls", "TLS"], ["udp", "UDP"],
];

const OF_REQUESTS = ["http", "https", "h2c", "grpc"];

/** What groups may speak by what comes at the listener, as `ringway check` wants it. */
const FITTING = { http: OF_REQUESTS, https: OF_REQUESTS, quic: OF_REQUESTS, tcp: ["tcp", "tls"], tls: ["tcp", "tls"], passthrough: ["tcp"], udp: ["udp"] };

const USUAL_PORTS = { http: "80", https: "443", quic: "443", tls: "443", passthrough: "443" };

/** Whether there are requests. Protocols of listeners, kinds of them and protocols of groups all tell. */
export function isHttp(protocol = "http") {
  return protocol === "quic" || OF_REQUESTS.includes(protocol);
}

/** What comes in and is counted: requests, connections, or sessions of UDP. */
export function thingsOf(protocol) {
  if (isHttp(protocol)) {
    return "requests";
  }
  return protocol === "udp" ? "sessions" : "connections";
}

export function titleOf(kind) {
  return LISTENER_KINDS.find(([known]) => known === kind)?.[1] ?? kind;
}

/** The port that a form begins with; empty where none is usual. */
export function usualPort(kind) {
  return USUAL_PORTS[kind] ?? "";
}

/** Whether TLS ends at such a listener, so that it has certificates. */
export function endsTls(kind) {
  return kind === "https" || kind === "quic" || kind === "tls";
}

/** The keys that say so. */
export function protocolSettings(kind) {
  return kind === "passthrough" ? { protocol: "tls", passthrough: true } : { protocol: kind };
}

/** The kind of a listener, from its settings and the protocol that `status` tells, which has no aliases. */
export function kindOf(settings, protocol) {
  return protocol === "tls" && settings.passthrough === true ? "passthrough" : protocol;
}

/** What is spoken at a listener, from what `status` tells of it. */
export function spokenText({ protocol, http3 }) {
  return http3 && protocol === "https" ? "https+h3" : protocol;
}

/** By what else than TCP clients of a listener for HTTPS may come: the choices of a form. */
export function upgradeChoices(quicListeners) {
  return [["off", "Off"], ["same", "HTTP/3 at the same addresses"], ...quicListeners.map((name) => [`to ${name}`, `HTTP/3 at the listener ${name}`])];
}

/** The choice that settings stand for. */
export function upgradeOf(settings) {
  if (settings.http3 === true) {
    return "same";
  }
  return settings.quic_listener ? `to ${settings.quic_listener}` : "off";
}

/** The keys of a choice; those that are not to be there are `absent`. */
export function upgradeSettings(choice, absent) {
  return { http3: choice === "same" ? true : absent, quic_listener: choice.startsWith("to ") ? choice.slice(3) : absent };
}

export const UPGRADE_HINT = "HTTP/3 comes by UDP: let it through the firewall. A listener of QUIC has rules and limits of its own.";

/** What groups behind such a listener can speak; without one: all there is. */
export function groupProtocols(kind) {
  return GROUP_PROTOCOLS.filter(([protocol]) => kind === undefined || FITTING[kind].includes(protocol));
}

/** Objects, each with the protocol that `states` of the status tell. */
export function withProtocols(objects, states) {
  const known = new Map(states.filter((state) => !state.leaving).map((state) => [state.name, state.protocol]));
  return objects.map((object) => ({ ...object, protocol: known.get(object.name) ?? object.settings.protocol ?? "http" }));
}

/** Names of the groups that what comes at such a listener can go to. */
export function fittingGroups(groups, kind) {
  return groups.filter(({ protocol }) => FITTING[kind]?.includes(protocol)).map(({ name }) => name);
}
