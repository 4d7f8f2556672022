export class RohrpostError extends Error {
  name = "RohrpostError";
  constructor(code, message, more) {
    super(message);
    Object.assign(this, { code, ...more });
  }
}

export const lost = () => new RohrpostError("lost", "The connection was lost.");

export const closed = (text = "The connection is closed.", more) => new RohrpostError("closed", text, more);

export function log(error) {
  (globalThis.reportError ?? console.error)(error);
}
