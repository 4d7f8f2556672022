/** The status of the connection or of a watch. */
export type Status =
  /** The first connection is not open yet. */
  | "connecting"
  /** The connection is open and the page is up to date. */
  | "live"
  /** The connection is open again; missed changes are being replayed. */
  | "recovering"
  /** The connection is lost, or the server does not reach its broker; the page may show old data. */
  | "stale"
  /** The page closed the connection or has not called connect(), or the server closed it permanently. */
  | "closed";

/** A position in the history of a group. */
export interface Position {
  epoch: string;
  offset: number;
}

/** The group to subscribe to: its name, or an object that the server maps to a name. */
export type Target =
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
  /** A watch applies create, update, delete and resync. Durable messages have any other type. */
  type: "create" | "update" | "delete" | "resync" | "unsubscribed" | (string & {});
  group: string;
  object: T;
  updated_fields?: string[];
  /** The object of this update contains only the columns that it set. */
  partial?: true;
  /** The page that caused the change, if the server knows it. */
  origin?: string;
  /** Whether this page caused the change. Set where the change has an origin. */
  self?: boolean;
  /** The offset of the message before, where it is not offset - 1. */
  prev?: number;
  offset?: number;
}

export type ResyncReason = "epoch" | "trimmed" | "too_far" | "off" | "resync" | "revoked" | "view" | (string & {});

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
  /** A text, or JSON content. */
  error?: any;
  error_info?: { code: string; temporary: boolean; retry_after?: number };
  data?: any;
  /** The group of a plain message. */
  group?: string;
}

/** The codes of the client, then those of the server. */
export type ErrorCode =
  /** The connection was lost. The server may have executed a call that was sent. */
  | "lost"
  /** The reply did not arrive in time, or the server timed out. `sent` tells whether the call was sent. */
  | "timeout"
  /** The page closed the connection, or the server closed it permanently. */
  | "closed"
  /** The server sent an invalid message. */
  | "protocol"
  /** Three attempts to connect have failed. The client keeps trying. */
  | "unreachable"
  /** The client can never connect: the URL, the port, the Content Security Policy or the environment does not allow it. */
  | "cannot_connect"
  /** The message is larger than the server accepts. The client did not send it. */
  | "too_large"
  /** The token function failed. */
  | "token"
  /** The server ended the subscription; see `reason`. */
  | "unsubscribed"
  /** Another watch of the group has other data. */
  | "other_data"
  /** A key is an integer above 2^53, which JavaScript rounds. */
  | "unsafe_key"
  /** The server replied with an error and without a code. */
  | "refused"
  | "access_denied"
  | "unavailable"
  | "internal"
  | "malformed"
  | "unknown_handler"
  | "too_many_groups"
  | "no_snapshot"
  | "snapshot_too_large"
  | "snapshot_outrun"
  /** The page has unsubscribed while the server was subscribing it. */
  | "cancelled"
  | "unsupported"
  /** The handler answers only connections that have an identity. */
  | "identity_required"
  /** An error of a handler or of a snapshot function. */
  | "application";

export class RohrpostError extends Error {
  constructor(code: ErrorCode, message: string, more?: object);
  readonly code: ErrorCode;
  /** Whether a later try can succeed. */
  readonly temporary?: boolean;
  /** The seconds after which the server asks for the next try. */
  readonly retryAfter?: number;
  /** The error of the reply: a text, or JSON content. */
  readonly content?: any;
  /** Whether the call was sent. The client never sends it again. */
  readonly sent?: boolean;
  /** The data of the error reply. */
  readonly data?: any;
  /** The close code, if the server closed the connection permanently. */
  readonly close?: number;
  /** The group that the error concerns. */
  readonly group?: string | object;
  /** Why the server ended the subscription. */
  readonly reason?: string;
}

export interface Options {
  /**
   * Sent with the first request of a connection. If the server has no token function
   * the client also sends it with each request, as "auth_jwt". The client calls a
   * function before the first connection, shortly before the identity expires, and
   * again when the server refuses the token, closes with 4401 or with "identity
   * expired". Defaults to "".
   */
  token?: string | (() => string | Promise<string>);
  /** The time between two heartbeats, in which a frame has to arrive, in milliseconds. 0 sends none. Defaults to 5000. */
  pingInterval?: number;
  /** The time limit of a call in milliseconds, including the wait for the connection. Infinity sets none. Defaults to 2000. */
  timeout?: number;
  /** Connect when the hub is made. Defaults to true; otherwise call connect(). */
  autoConnect?: boolean;
  /** The delay before an attempt to reconnect in milliseconds: random, from min to a limit that doubles up to max. Defaults to 500 and 4000. */
  reconnectDelay?: { min?: number; max?: number };
  /** Whether the server and its proxies answer under every path below the URL. Only Firefox needs it; the hub says it of itself. */
  subtree?: boolean;
  /** Write the frames and the status to the console. Defaults to false. */
  debug?: boolean;
  /** Defaults to the WebSocket of the environment. */
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
  /** A frame to the server: its text, or the object that it encodes. */
  send: [message: string | object];
  /** An error that rejects no promise. */
  error: [error: RohrpostError | Error];
}

/** A value that can be a key. */
export type Key = PropertyKey | readonly unknown[];

/** The fields of T whose values can be a key of the collection. */
export type KeyOf<T> = { [P in keyof T]-?: NonNullable<T[P]> extends Key ? P : never }[keyof T];

/** The value that `key` reads from an item. */
export type KeyValue<T, K> = K extends (item: any) => infer V ? V : K extends keyof T ? T[K] : never;

export interface WatchOptions<T extends object, K = KeyOf<T> | ((item: T) => Key)> {
  /** The field that identifies an item, or a function that returns its value. Defaults to "id". */
  key?: K;
  /** An update replaces the item instead of being merged into it. Defaults to false. */
  replace?: boolean;
  /** The items that the page already has. With `since` the client loads no snapshot if the server can replay the changes. */
  items?: readonly T[];
  /** The position at which the items were read. */
  since?: Position;
}

/** A live collection: the items of a group, updated with each change. */
export interface Watch<T extends object, V = unknown> extends AsyncIterable<readonly T[]> {
  /** The items in the order of the snapshot, new items last. Each change creates a new array. Empty after an error. */
  readonly items: readonly T[];
  /** "connecting" until the items are loaded, "recovering" while they lack changes. */
  readonly status: Status;
  /** The error that closed the watch. */
  readonly error?: RohrpostError;
  /** Resolves when the items are loaded. Rejects if the watch closes before. */
  readonly ready: Promise<this>;
  get(key: V): T | undefined;
  /**
   * Calls fn immediately and after changes, once for all changes within 16 ms.
   * Without changes a snapshot was loaded. Returns a function that removes the
   * subscription.
   */
  subscribe(fn: (items: readonly T[], changes: readonly Change<Partial<T>>[]) => void): () => void;
  on(event: "status", handler: (status: Status) => void): this;
  once(event: "status", handler: (status: Status) => void): this;
  off(event: "status", handler: (status: Status) => void): this;
  close(): void;
}

/** The events of a group and the arguments of their handlers. */
export interface GroupEvents {
  status: [status: Status];
  /** The error that ended the subscription, or of the third failed try to load the group. */
  error: [error: RohrpostError];
  resync: [resync: Resync];
  /** Any change of the group, also of a durable message. */
  change: [change: Change];
}

/** A group as the page sees it: one object, whether the page is subscribed or not. */
export interface Group {
  /** The name, once the server has told it. */
  readonly name?: string;
  /** "closed" while the page is not subscribed. */
  readonly status: Status;
  readonly error?: RohrpostError;
  on<E extends keyof GroupEvents>(event: E, handler: (...values: GroupEvents[E]) => void): this;
  /** Adds a handler for the messages of one type: plain messages, which have no change, and changes. */
  on<T = any>(type: string, handler: (data: T, change?: Change<T>) => void): this;
  once<E extends keyof GroupEvents>(event: E, handler: (...values: GroupEvents[E]) => void): this;
  once<T = any>(type: string, handler: (data: T, change?: Change<T>) => void): this;
  off(event: string, handler: (...values: any[]) => void): this;
  subscribe(options?: { since?: Position; snapshot?: boolean }): Promise<Subscribed>;
  unsubscribe(): Promise<Partial<Subscribed> | undefined>;
}

/** The random id of this page. The server names it as the origin of the changes that the page causes, see the module fetch. */
export const pageId: string;

export class Rohrpost {
  /** Connects to the URL. A relative URL is resolved against the base of the page, or the origin of the worker. */
  constructor(url: string | URL, options?: Options);
  readonly status: Status;

  /** Connects after disconnect(), close(), or a permanent close of the server; does nothing otherwise. */
  connect(): void;
  /** Closes the connection and keeps the subscriptions and watches for the next connect(). */
  disconnect(): void;
  /** Closes the connection and ends all subscriptions and watches. */
  close(): void;

  /** Returns the object of a group, always the same. */
  group(target: Target): Group;

  /** Resolves with the reply, if necessary after reconnecting. Call unsubscribe once for each call of subscribe. */
  subscribe(target: Target): Promise<Subscribed>;
  unsubscribe(target: Target): Promise<Partial<Subscribed> | undefined>;

  /** Returns a live collection of a group whose snapshot is an array. On a closed hub the watch is closed and has an error. */
  watch<T extends object = any>(target: Target, options?: WatchOptions<T, undefined>): Watch<T, T extends { id: infer V } ? V : Key>;
  watch<T extends object = any>(target: Target, options: WatchOptions<T>): Watch<T, Key>;
  watch<T extends object, const K extends KeyOf<T> | ((item: T) => Key)>(target: Target, options: WatchOptions<T, K>): Watch<T, KeyValue<T, K>>;

  /** Calls a handler of the server and resolves with its result. The client never sends a call twice. Rejects with a RohrpostError. */
  call<R = any>(name: string, data?: unknown, options?: { timeout?: number }): Promise<R>;

  on<E extends keyof Events>(event: E, handler: (...values: Events[E]) => void): this;
  /** Adds a handler for the changes of a group. Its first argument is always null, as in rohrpost-js. */
  on<T = any>(group: string, handler: (error: null, change: Change<T>) => void): this;
  once<E extends keyof Events>(event: E, handler: (...values: Events[E]) => void): this;
  once<T = any>(group: string, handler: (error: null, change: Change<T>) => void): this;
  off(event: string, handler: (...values: any[]) => void): this;
}

export default Rohrpost;
