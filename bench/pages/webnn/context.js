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

/**
 * A builder whose every throw says which operator it was.
 * @param {MLGraphBuilder} builder
 * @returns {any}
 */
export function tracked(builder) {
  return new Proxy(builder, {
    get(target, operator) {
      return (/** @type {unknown[]} */ ...args) => {
        try {
          return target[String(operator)](...args);
        } catch (error) {
          throw new StageError("build", error, { operator: String(operator) });
        }
      };
    },
  });
}
