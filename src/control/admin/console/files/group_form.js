// The boxes of a new server group: of a dialog, and of a step of the wizard.

import { field, h, offer, select } from "./dom.js";
import { EXPECT_PAYLOAD_HINT, PAYLOAD_HINT } from "./health.js";
import { groupProtocols, isHttp } from "./protocols.js";
import { nameFault } from "./settings.js";

const ALGORITHMS = [
  ["weighted_round_robin", "Weighted round robin"], ["round_robin", "Round robin"], ["weighted_least_connections", "Weighted least connections"],
  ["power_of_two", "The less busy of two"], ["random", "Random"], ["source_ip_hash", "Source IP hash"], ["consistent_hash", "Consistent hash"],
];

const HASHED_REQUESTS = [["query", "Parameter of the query"], ["header", "Header"], ["cookie", "Cookie"], ["path", "Path"]];
const NAMED = ["query", "header", "cookie"];
const BY_ADDRESS = ["source_ip", "Address of the client"];
const BY_TUPLE = ["tuple", "Addresses and ports of both ends"];
const BY_QUIC = ["quic_cid", "Bytes of the connection ID of QUIC"];

/** What a consistent hash can be taken of, as `ringway check` allows it. */
function hashKeys(protocol) {
  if (isHttp(protocol)) {
    return [...HASHED_REQUESTS, BY_ADDRESS];
  }
  return protocol === "udp" ? [BY_TUPLE, BY_ADDRESS, BY_QUIC] : [BY_TUPLE, BY_ADDRESS];
}

/** Lines such as `10.0.0.1:80 50`: an address, and a weight if it has one. */
function backendsOf(text) {
  const lines = text.split("\n").map((line) => line.trim()).filter(Boolean);
  return lines.map((line) => {
    const [address, weight] = line.split(/\s+/);
    return weight === undefined ? { address } : { address, weight: Number(weight) };
  });
}

function backendFaults(control, protocol) {
  const wanted = backendsOf(control.value);
  if (wanted.length === 0) {
    return [{ control, text: "Backends: write at least one, such as 10.0.0.1:8080." }];
  }
  return wanted.map(({ address, weight }) => {
    // What is relayed may go to the port that the client came to.
    const mayLackPort = ["tcp", "tls", "udp"].includes(protocol);
    if (!mayLackPort && !/^(unix:.+|.+:[0-9]+)$/.test(address)) {
      return { control, text: `Backends: ${address} has no port; write an address such as 10.0.0.1:8080.` };
    }
    if (protocol === "udp" && address.startsWith("unix:")) {
      return { control, text: `Backends: ${address} is a unix socket, which takes no datagrams of UDP; write an address and a port.` };
    }
    const isWeight = weight === undefined || (Number.isInteger(weight) && weight >= 0 && weight <= 100);
    return isWeight ? null : { control, text: `Backends: the weight of ${address} is no number from 0 to 100.` };
  });
}

/** The boxes that say what a consistent hash is taken of. */
function hashForm() {
  const key = select(hashKeys("http"), "query");
  const name = h("input", { autocomplete: "off" });
  const offset = h("input", { type: "number", min: 0, max: 19, value: "0" });
  const length = h("input", { type: "number", min: 1, max: 20, value: "8" });
  const nameField = field("Name of what is hashed", name);
  const bytes = h("div", {}, field("First byte of the ID", offset, "From 0 on."), field("Bytes of the ID", length, "Both together are at most 20. Servers have to keep these bytes in all their IDs."));
  const element = h("div", {}, field("Hash key", key), nameField, bytes);
  const show = () => {
    nameField.hidden = !NAMED.includes(key.value);
    bytes.hidden = key.value !== "quic_cid";
  };
  key.addEventListener("change", show);
  const adapt = (protocol) => {
    offer(key, hashKeys(protocol));
    show();
  };
  const settings = () => {
    if (NAMED.includes(key.value)) {
      return { [key.value]: name.value.trim() };
    }
    return { [key.value]: key.value === "quic_cid" ? { offset: Number(offset.value), length: Number(length.value) } : true };
  };
  const faults = () => (NAMED.includes(key.value) && !name.value.trim() ? [{ control: name, text: "Name of what is hashed: write the name of the parameter, header or cookie." }] : []);
  return { element, adapt, settings, faults };
}

/** Whether backends are probed, and with UDP what by. */
function probeForm() {
  const probe = h("input", { type: "checkbox" });
  const payload = h("input", { autocomplete: "off" });
  const expected = h("input", { autocomplete: "off" });
  const ofUdp = h("div", {}, field("Payload of a probe", payload, PAYLOAD_HINT), field("Expected in the answer", expected, EXPECT_PAYLOAD_HINT));
  const element = [h("label", { class: "choice" }, probe, " Health check"), ofUdp];
  let isUdp = false;
  const show = () => {
    ofUdp.hidden = !(isUdp && probe.checked);
  };
  probe.addEventListener("change", show);
  const adapt = (protocol) => {
    isUdp = protocol === "udp";
    show();
  };
  const settings = () => {
    if (!probe.checked) {
      return undefined;
    }
    return isUdp ? { payload: payload.value || undefined, expect_payload: expected.value || undefined } : {};
  };
  return { element, adapt, settings };
}

/** The boxes, and the settings that they make. */
export function groupForm() {
  const name = h("input", { autocomplete: "off" });
  const protocol = select(groupProtocols(), "http");
  const algorithm = select(ALGORITHMS, "weighted_round_robin");
  const backends = h("textarea", { rows: 4, spellcheck: "false", placeholder: "10.0.0.1:8080\n10.0.0.2:8080 50" });
  const verify = select([["off", "Do not verify backends"], ["system", "By the roots of this system"]], "off");
  const header = select([["", "None"], ["v1", "Version 1"], ["v2", "Version 2"]], "");
  const onDrain = select([["", "Its connections go on for the drain timeout"], ["reset", "Its connections are reset at once"]], "");
  const [hash, probe] = [hashForm(), probeForm()];
  const verifyField = field("Certificates of backends", verify, "A CA of your own is set in the settings of the group.");
  const headerField = field("PROXY protocol header to backends", header, "Tells backends the address of the client. They have to expect it.");
  const drainField = field("When a backend is taken out of service", onDrain, "The same with sessions of UDP. A reset comes also when it fails while others serve.");
  const element = [
    field("Group name", name), field("Backend protocol", protocol), field("Load balancing algorithm", algorithm), hash.element,
    field("Backends", backends, "One a line: address and port, and a weight of 0 to 100 if it is not 100."),
    verifyField, headerField, drainField, probe.element,
  ];
  const speaksTls = () => ["https", "tls"].includes(protocol.value);
  const show = () => {
    hash.element.hidden = algorithm.value !== "consistent_hash";
    hash.adapt(protocol.value);
    probe.adapt(protocol.value);
    verifyField.hidden = !speaksTls();
    headerField.hidden = protocol.value === "udp";
    drainField.hidden = isHttp(protocol.value);
  };
  protocol.addEventListener("change", show);
  algorithm.addEventListener("change", show);
  show();
  /** Leaves the protocols that fit behind such a listener. */
  const adapt = (kind) => {
    offer(protocol, groupProtocols(kind));
    show();
  };
  const settings = () => ({
    name: name.value.trim(), protocol: protocol.value, algorithm: algorithm.value,
    hash_key: hash.element.hidden ? undefined : hash.settings(),
    proxy_protocol: headerField.hidden ? undefined : header.value || undefined,
    on_drain: drainField.hidden ? undefined : onDrain.value || undefined,
    backend: backendsOf(backends.value), tls: speaksTls() ? { verify: verify.value } : undefined, health_check: probe.settings(),
  });
  /** What is missing or wrong, as sentences with the control that each is about; `taken` are names that others have. */
  const faults = (taken) => [
    nameFault("Group name", name, taken), ...(hash.element.hidden ? [] : hash.faults()), ...backendFaults(backends, protocol.value),
  ].filter(Boolean);
  return { element, adapt, settings, faults };
}
