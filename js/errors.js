export class RohrpostError extends Error {
  name = "RohrpostError";
  constructor(code, message, more) {
    super(message);
    Object.assign(this, { code, ...more });
  }
}

export const lost = () => new RohrpostError("lost", "The connection was lost.", { temporary: true });

export const closed = (text = "The connection is closed.", more) => new RohrpostError("closed", text, more);

export const isLoss = (error) => /^(lost|closed)$/.test(error?.code);

// Whether anything but close() has ended a connection or a subscription.
export const isFault = (error) => error.code !== "closed" || error.close;

// Makes the error of a reply. Earlier hubs send no error_info.
export function refusal({ error: content, error_info: info, data }) {
  const text = typeof content === "string" ? content : JSON.stringify(content);
  const { code = "refused", temporary = /^(UNAVAILABLE|The request timed out.|internal error)$/.test(text), retry_after: retryAfter } = info ?? {};
  return new RohrpostError(code, text, { temporary, retryAfter, content, data });
}
