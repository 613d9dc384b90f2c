"use strict";
// Before anything is drawn, so that nothing flashes.
(() => {
  try {
    const kept = localStorage.getItem("ringway-scheme");
    if (kept === "light" || kept === "dark") {
      document.documentElement.dataset.scheme = kept;
    }
  } catch {
    // The browser keeps nothing.
  }
})();
