// Rules and server groups that are not served for a while, and the button that switches it.

import { call } from "./api.js";
import { announce, button, showProblem } from "./dom.js";

/** Whether this is out of service; `kind` is `rule` or `server_group`. */
export function isUnderMaintenance(status, kind, name) {
  return status.maintenance.some((known) => known.kind === kind && known.name === name);
}

export function maintenanceButton(status, kind, name, again, wrong) {
  const isOn = isUnderMaintenance(status, kind, name);
  const text = isOn ? "End maintenance" : "Begin maintenance";
  return button(text, "operate", async () => {
    try {
      const answer = await call("POST", "maintenance", { name, kind, on: !isOn });
      announce(answer.message || `${name}: maintenance is ${isOn ? "off" : "on"}.`);
      await again();
    } catch (error) {
      showProblem(wrong, error);
    }
  }, { "aria-label": `${text} of ${name}` });
}
