import { words } from "./runtime/errors.js";
import { Link } from "./runtime/link.js";
import { probe } from "./runtime/probe.js";
import { openDevice } from "./webgpu/device.js";

const link = new Link(new URL("..", location.href).pathname);

/** An adapter may be shown and its device refused: only an open device counts. */
async function device() {
  try {
    const gpu = await openDevice();
    gpu.device.destroy();
    return { opens: true, reason: null };
  } catch (error) {
    return { opens: false, reason: words(error).message };
  }
}

try {
  await link.event("stage", { stage: "probe" });
  const found = await probe({ full: true });
  await link.event("probe", { ...found, device: await device() });
} catch (error) {
  await link.event("error", words(error));
}
const status = document.getElementById("stage");
if (status) status.textContent = "Done: the doctor has the answers.";
