/** @import {Outputs} from "./types.d.ts" */

/** The page's line to the harness: everything goes to the run's own path on the loopback server. */
export class Link {
  /** @param {string} base the run's path, with its token */
  constructor(base) {
    this.base = base;
    this.sequence = 0;
  }

  /** @param {string} kind @param {Record<string, unknown>} data */
  async event(kind, data) {
    await this.post("event", JSON.stringify({ sequence: this.sequence++, kind, data }), "application/json");
  }

  /**
   * Hand over one set's outputs, then ask for the verdict.
   * @param {string} set
   * @param {Outputs} outputs
   * @returns {Promise<{ok: boolean}>}
   */
  async verify(set, outputs) {
    for (const [name, values] of outputs) {
      await this.post(`output/${set}/${encodeURIComponent(name)}`, values, "application/octet-stream");
    }
    const response = await this.post(`verdict/${set}`, "{}", "application/json");
    return response.json();
  }

  /** @param {string} path @param {BodyInit | Float32Array} body @param {string} type */
  async post(path, body, type) {
    const response = await fetch(this.base + path, {
      method: "POST",
      body: /** @type {BodyInit} */ (body),
      headers: { "Content-Type": type },
    });
    if (!response.ok) {
      throw new Error(`POST ${path} answered ${response.status}: ${await response.text()}`);
    }
    return response;
  }
}
