/** A stage failed: keeps the browser's own name and words, and the operator at fault. */
export class StageError extends Error {
  /**
   * @param {string} stage
   * @param {unknown} cause what the browser threw
   * @param {{outcome?: string, operator?: string | null}} [more]
   */
  constructor(stage, cause, more = {}) {
    const { name, message } = words(cause);
    super(message);
    this.name = name;
    this.stage = stage;
    this.outcome = more.outcome ?? "error";
    this.operator = more.operator ?? null;
  }

  toJSON() {
    return { stage: this.stage, outcome: this.outcome, name: this.name, message: this.message, operator: this.operator };
  }
}

/**
 * The name and message of anything thrown, verbatim. GPUError objects carry their name in their constructor.
 * @param {unknown} cause
 */
export function words(cause) {
  if (cause instanceof Error || cause instanceof DOMException) {
    return { name: cause.name, message: cause.message };
  }
  if (typeof cause === "object" && cause !== null && "message" in cause) {
    return { name: cause.constructor.name, message: String(cause.message) };
  }
  return { name: "Error", message: String(cause) };
}

/**
 * Run a stage; whatever it throws becomes a StageError of that stage, or of the one it is in by then.
 * @template T
 * @param {string | (() => string)} stage
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function inStage(stage, work) {
  try {
    return await work();
  } catch (error) {
    throw error instanceof StageError ? error : new StageError(typeof stage === "string" ? stage : stage(), error);
  }
}
