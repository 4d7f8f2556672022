/** The status of the connection or of a watch. */
export type Status =
  /** The first connection is not open yet. */
  | "connecting"
  /** The connection is open and the page is up to date. */
  | "live"
  /** The connection is open again; missed changes are being replayed. */
  | "recovering"
  /** The connection is lost; the page may show old data. */
  | "stale"
  /** The page closed the connection, or the server closed it permanently. */
  | "closed";

/** A position in the history of a group. */
export interface Position {
  epoch: string;
  offset: number;
}

/** The group to subscribe to: its name, or an object that the server maps to a name. */
export type Group =
  | string
  | ({
      /** Resume from this position, unless the client already knows one. */
      since?: Position;
      /** Request a snapshot of the group together with the subscription. */
      snapshot?: boolean;
    } & Record<string, unknown>);

/** The reply to a subscription. It has no position if the server keeps no history. */
export interface Subscribed extends Partial<Position> {
  group: string;
  recovered?: boolean;
  missed?: number;
  reason?: ResyncReason;
  snapshot?: any;
}

/** The data of a message to a group. */
export interface Change<T = any> {
  type: "create" | "update" | "delete" | "resync" | (string & {});
  group: string;
  object: T;
  updated_fields?: string[];
  offset?: number;
}

export type ResyncReason = "epoch" | "trimmed" | "too_far" | "off" | (string & {});

/** The client missed messages of the group: load its data again. */
export interface Resync {
  group: string;
  reason?: ResyncReason;
  /** The new snapshot, if the page requests snapshots of the group. */
  snapshot?: any;
}

/** A frame from the server. */
export interface Message {
  id?: string | number | boolean;
  type?: string;
  error?: string;
  data?: any;
}

export type ErrorCode =
  /** The connection was lost. The server may have executed a call that was sent. */
  | "lost"
  /** The reply did not arrive in time. `sent` tells whether the call was sent. */
  | "timeout"
  /** The page closed the connection, or the server closed it permanently. */
  | "closed"
  /** The server replied with an error; its text is the message. */
  | "refused"
  /** The server sent an invalid message. */
  | "protocol";

export class RohrpostError extends Error {
  constructor(code: ErrorCode, message: string, more?: object);
  readonly code: ErrorCode;
  /** Whether the call was sent. The client never sends it again. */
  readonly sent?: boolean;
  /** The data of the error reply. */
  readonly data?: any;
  /** The close code, if the server closed the connection permanently. */
  readonly close?: number;
  /** The group whose subscription the server refused. */
  readonly group?: string | object;
}

export interface Options {
  /**
   * Sent with each request as "auth_jwt". The client calls a function before
   * the first connection, and again when the server refuses the token or
   * closes with "identity expired". Defaults to "".
   */
  token?: string | (() => string | Promise<string>);
  /** The time between two pings, in which a frame has to arrive, in milliseconds. Defaults to 5000. */
  pingInterval?: number;
  /** The time limit of a call in milliseconds, including the wait for the connection. Defaults to 2000. */
  timeout?: number;
  /** Defaults to the WebSocket of the browser. */
  WebSocket?: new (url: string) => any;
}

/** The events and the arguments of their handlers. Any other event is the name of a group, see `on`. */
export interface Events {
  /** A connection opened. */
  open: [];
  /**
   * An open connection ended. Emitted exactly once for each `open`; a failed
   * attempt to connect emits only `reconnecting`. The status "closed" marks
   * the permanent end.
   */
  closed: [];
  /** An attempt to connect again begins. */
  reconnecting: [];
  status: [status: Status];
  resync: [resync: Resync];
  /** Any frame from the server. */
  message: [message: Message];
  /** An error that rejects no promise. */
  error: [error: RohrpostError | Error];
}

/** The keys of T whose values can be a key of the collection. */
type KeyOf<T> = { [P in keyof T]-?: NonNullable<T[P]> extends PropertyKey | readonly unknown[] ? P : never }[keyof T];

export interface WatchOptions<T extends object, K> {
  /** The field that identifies an item, or a function that returns its value. Defaults to "id". */
  key?: K;
  /** An update replaces the item instead of being merged into it. Defaults to false. */
  replace?: boolean;
  /** The items that the page already has. With `since` the client loads no snapshot if the server can replay the changes. */
  items?: readonly T[];
  /** The position at which the items were read. */
  since?: Position;
}

/** The value that `key` reads from an item. */
export type KeyValue<T, K> = K extends (item: any) => infer V ? V : K extends keyof T ? T[K] : never;

/** A live collection: the items of a group, updated with each change. */
export interface Watch<T extends object, V = unknown> extends AsyncIterable<readonly T[]> {
  /** The items in the order of the snapshot, new items last. Each change creates a new array. */
  readonly items: readonly T[];
  readonly status: Status;
  /** The error that closed the watch. */
  readonly error?: RohrpostError;
  /** Resolves when the items are loaded or the page closes the watch. Rejects if the server refuses them. */
  readonly ready: Promise<this>;
  get(key: V): T | undefined;
  /**
   * Calls fn immediately and after changes, once for all changes within 16 ms.
   * Without changes a snapshot was loaded. Returns a function that removes the
   * subscription.
   */
  subscribe(fn: (items: readonly T[], changes: readonly Change<Partial<T>>[]) => void): () => void;
  close(): void;
}

export class Rohrpost {
  /** Connects to the URL. A relative URL is resolved against the page. */
  constructor(url: string | URL, options?: Options);
  readonly status: Status;

  /** Resolves with the reply, if necessary after reconnecting. Call unsubscribe once for each call of subscribe. */
  subscribe(group: Group): Promise<Subscribed>;
  unsubscribe(group: Group): Promise<Partial<Subscribed> | undefined>;

  /** Returns a live collection of a group whose snapshot is an array. */
  watch<T extends object = any, const K extends KeyOf<T> | ((item: T) => PropertyKey | readonly unknown[]) = "id" & KeyOf<T>>(
    group: Group,
    options?: WatchOptions<T, K>,
  ): Watch<T, KeyValue<T, K>>;

  /** Calls a handler of the server and resolves with its result. The client never sends a call twice. Rejects with a RohrpostError. */
  call<R = any>(name: string, data?: unknown, options?: { timeout?: number }): Promise<R>;

  on<E extends keyof Events>(event: E, handler: (...values: Events[E]) => void): this;
  /** Adds a handler for the messages of a group. Its first argument is always null, as in rohrpost-js. */
  on<T = any>(group: string, handler: (error: null, change: Change<T>) => void): this;
  once<E extends keyof Events>(event: E, handler: (...values: Events[E]) => void): this;
  once<T = any>(group: string, handler: (error: null, change: Change<T>) => void): this;
  off(event: string, handler: (...values: any[]) => void): this;

  /** Closes the connection permanently. */
  close(): void;
}

export default Rohrpost;
