// Returns a random delay in ms: pages must not reconnect together.
export function backoff(attempts) {
  return 500 + Math.random() * (Math.min(20_000, 1000 * 2 ** attempts) - 500);
}
