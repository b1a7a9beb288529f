import { StageError } from "../runtime/errors.js";

/**
 * @param {string} device
 * @returns {Promise<MLContext>}
 */
export async function openContext(device) {
  if (!navigator.ml) {
    throw new StageError("probe", new Error("navigator.ml is undefined: this browser has no WebNN"), {
      outcome: "unsupported",
    });
  }
  try {
    return await navigator.ml.createContext(device === "auto" ? {} : { deviceType: device });
  } catch (error) {
    throw new StageError("probe", error, { outcome: "unsupported", operator: "createContext" });
  }
}
