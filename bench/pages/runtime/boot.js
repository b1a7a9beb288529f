// Loaded before everything else and not a module: it hears what nobody catches, a script that does not come included.

(() => {
  const base = new URL("..", location.href).pathname;
  let told = false;
  /** @param {string} name @param {string} message */
  const tell = (name, message) => {
    if (told) return;
    told = true;
    const error = { stage: null, outcome: "error", name, message, operator: null };
    const body = JSON.stringify({ sequence: -1, kind: "error", data: error });
    fetch(`${base}event`, { method: "POST", body, headers: { "Content-Type": "application/json" } });
  };
  addEventListener(
    "error",
    (event) => {
      if (event.target instanceof HTMLScriptElement) {
        tell("ScriptNotLoaded", `${event.target.src.slice(location.origin.length + base.length)} could not be loaded or parsed`);
      } else if (event instanceof ErrorEvent) {
        tell(event.error?.name ?? "Error", event.error?.message ?? event.message);
      }
    },
    true,
  );
  addEventListener("unhandledrejection", (event) => {
    tell(event.reason?.name ?? "Error", `unhandled rejection: ${event.reason?.message ?? event.reason}`);
  });
})();
