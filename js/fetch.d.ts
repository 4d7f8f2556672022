/**
 * Is the global fetch with the header X-Rohrpost-Page on requests to the origin of the
 * page. A server that uses rohrpost.WithOrigin then knows which page causes a change,
 * and the change has `self` in this page.
 */
export const fetch: typeof globalThis.fetch;
