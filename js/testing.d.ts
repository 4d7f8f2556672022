import type { Options, Rohrpost } from "./rohrpost.js";

export interface FakeOptions extends Omit<Options, "WebSocket"> {
  /** The field that identifies a row. Defaults to "id". */
  key?: string;
}

export interface ChangeOptions {
  /** Whether this page causes the change. Defaults to false. */
  self?: boolean;
}

/** A client with a server in memory. Groups are addressed by name. */
export interface FakeHub {
  readonly hub: Rohrpost;
  /** The calls that have arrived, except subscriptions. */
  readonly calls: { name: string; data: any }[];
  /** Answers the calls of a handler. A handler that throws replies with the text of its error. */
  handle(name: string, handler: (data: any) => unknown): void;
  /** Replaces the rows of a group, and makes its watches load them. */
  snapshot(group: string, rows: readonly object[]): void;
  create(group: string, row: object, options?: ChangeOptions): void;
  /** Merges the fields into the row with the same key. Throws if the group has no such row. */
  update(group: string, fields: object, options?: ChangeOptions): void;
  delete(group: string, key: unknown, options?: ChangeOptions): void;
  /** Makes the watches of a group load it again. */
  resync(group: string, reason?: string): void;
  /** Sends a plain message to the members of a group. */
  send(group: string, type: string, data?: unknown): void;
  /** Refuses a group from now on and ends its subscriptions. Codes of passing errors are "unavailable", "timeout" and "internal". */
  refuse(group: string, code?: string, text?: string): void;
  /** Ends the effect of refuse. */
  allow(group: string): void;
  /** Breaks the connection; no attempt succeeds before online(). */
  offline(): void;
  online(): void;
  /** Closes the connection as the server would. */
  close(code?: number, reason?: string): void;
}

/** Returns a client whose server has these groups and rows. */
export function fakeHub(groups?: Record<string, readonly object[]>, options?: FakeOptions): FakeHub;
