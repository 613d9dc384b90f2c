// The health check of a server group.

import { call, pathOf } from "./api.js";
import { announce, dialog, field, h, select, setHint } from "./dom.js";

const PROTOCOLS = [["", "As the group"], ["http", "HTTP"], ["https", "HTTPS"], ["tcp", "TCP"], ["grpc", "gRPC"], ["udp", "UDP"]];

/** How backends of a group are probed where its check does not say. */
const USUAL = { http: "http", h2c: "http", https: "https", grpc: "grpc", tcp: "tcp", tls: "tcp", udp: "udp" };

/** Keys that only these protocols of a check have. */
const ONLY = { path: ["http", "https", "grpc"], expect: ["http", "https", "grpc"], payload: ["udp"], expect_payload: ["udp"] };

export const PAYLOAD_HINT = "Text, or hex: and pairs of digits, such as hex:00 1f ff. Empty: a datagram without content.";
export const EXPECT_PAYLOAD_HINT = "What the answer has to contain, written likewise. Empty: silence is a success, too, so a host that is switched off counts as healthy.";

/** A payload as a box of one line can hold it: what would get lost there is written in digits. */
export function payloadText(payload) {
  const isLost = [...payload].some((character) => character < " " || character === "\u007f");
  const digits = [...new TextEncoder().encode(payload)].map((byte) => byte.toString(16).padStart(2, "0"));
  return isLost ? `hex:${digits.join(" ")}` : payload;
}

function hints(protocol) {
  const isUdp = protocol === "udp";
  return {
    path: protocol === "grpc" ? "Default: /grpc.health.v1.Health/Check" : "Default: /",
    port: "The port that is probed. Default: that of the backend",
    interval: `From one probe to the next. Default: ${isUdp ? "5s" : "2s"}`,
    timeout: `Default: ${isUdp ? "10s" : "5s"}`,
    healthy_threshold: "Default: 3", unhealthy_threshold: "Default: 3",
    expect: protocol === "grpc" ? "Codes of gRPC that are good, such as 0 12. Default: 0" : "Statuses that are good, such as 2xx 304. Default: 2xx",
    payload: PAYLOAD_HINT, expect_payload: EXPECT_PAYLOAD_HINT,
  };
}

const TITLES = {
  protocol: "Protocol", port: "Port", path: "Path", payload: "Payload of a probe", expect_payload: "Expected in the answer", interval: "Interval", timeout: "Timeout",
  healthy_threshold: "Successes until it is healthy", unhealthy_threshold: "Failures until it is unhealthy", expect: "Good statuses",
};

const RANGES = { port: [0, 65535], healthy_threshold: [1, 10], unhealthy_threshold: [1, 10] };

/** What a box shows of a key. */
function shownText(key, value) {
  if (value === undefined) {
    return "";
  }
  return key.endsWith("payload") ? payloadText(String(value)) : [value].flat().join(" ");
}

function boxOf(key, value) {
  if (key === "protocol") {
    // A word that the list lacks stays what it is.
    const more = value === "" || PROTOCOLS.some(([known]) => known === value) ? [] : [[value, value]];
    return select([...PROTOCOLS, ...more], value);
  }
  const [min, max] = RANGES[key] ?? [];
  return h("input", { value, autocomplete: "off", ...(min === undefined ? {} : { type: "number", min, max }) });
}

function valueOf(key, text) {
  if (key === "expect") {
    return text.split(/[\s,]+/);
  }
  return RANGES[key] ? Number(text) : text;
}

/** The settings with what was changed in boxes that are shown; all else stays as it is written. */
function changedSettings(settings, boxes) {
  const wanted = { ...settings };
  for (const [key, { box, before }] of Object.entries(boxes)) {
    if (box.value === before || box.closest(".field").hidden) {
      continue;
    }
    // Spaces at the ends of a payload count.
    const text = key.endsWith("payload") ? box.value : box.value.trim();
    if (text === "") {
      delete wanted[key];
    } else {
      wanted[key] = valueOf(key, text);
    }
  }
  return wanted;
}

/** The dialog that edits it; `check` is null where there is none yet, `protocol` that of the group. */
export function healthForm(group, protocol, check, again) {
  const settings = check?.settings ?? {};
  const boxes = {};
  const content = Object.keys(TITLES).map((key) => {
    const box = boxOf(key, shownText(key, settings[key]));
    boxes[key] = { box, before: box.value };
    return field(TITLES[key], box, hints(protocol)[key]);
  });
  const show = () => {
    const effective = boxes.protocol.box.value.toLowerCase() || USUAL[protocol];
    for (const [key, hint] of Object.entries(hints(effective))) {
      boxes[key].box.closest(".field").hidden = ONLY[key]?.includes(effective) === false;
      setHint(boxes[key].box, hint);
    }
  };
  boxes.protocol.box.addEventListener("change", show);
  show();
  dialog(`Health check of ${group}`, content, "Save", async () => {
    const seen = check === null ? {} : { "If-Match": check.etag };
    const answer = await call("PUT", `${pathOf("server-groups", group)}/health-check`, changedSettings(settings, boxes), seen);
    announce(["The health check is saved.", ...(answer.warnings ?? []).map((warning) => warning.message)].join(" "));
    await again();
  });
}
