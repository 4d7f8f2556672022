/** Where the connection, or a watch, stands. */
export type Status =
  /** not connected yet */
  | "connecting"
  /** what is shown is what the server has */
  | "live"
  /** connected again, what was missed is on its way */
  | "catching up"
  /** the connection is lost, what is shown may be old */
  | "stale"
  /** closed by the page, or by the server for good */
  | "closed";

/** Where in the messages of a group a page is. */
export interface Position {
  epoch: string;
  offset: number;
}

/** What to subscribe to: the name of a group, or whatever the server makes a name of. */
export type Group =
  | string
  | ({
      /** Go on from here, if nothing is known of the group yet. */
      since?: Position;
      /** Ask for the state of the group, too. */
      state?: boolean;
    } & Record<string, unknown>);

/** The answer to a subscription. Without history on the server there is no position. */
export interface Subscribed extends Partial<Position> {
  group: string;
  recovered?: boolean;
  missed?: number;
  reason?: ResyncReason;
  state?: any;
}

/** What a message of a group says. */
export interface Change<T = any> {
  type: "create" | "update" | "delete" | "resync" | (string & {});
  group: string;
  object: T;
  updated_fields?: string[];
  offset?: number;
}

export type ResyncReason = "epoch" | "trimmed" | "too_far" | "off" | (string & {});

/** Messages of the group were missed: load its state again. */
export interface Resync {
  group: string;
  reason?: ResyncReason;
  /** The new state, where the state was asked for. */
  state?: any;
}

/** A frame of the server. */
export interface Message {
  id?: string | number | boolean;
  type?: string;
  error?: string;
  data?: any;
}

export type ErrorCode =
  /** the connection was lost; a call that was sent may have been carried out */
  | "lost"
  /** no answer in time; `sent` says whether the server may have got the call */
  | "timeout"
  /** closed, by the page or by the server for good */
  | "closed"
  /** the server answered with an error, which is the message */
  | "refused"
  /** the server has sent what makes no sense */
  | "protocol";

export class RohrpostError extends Error {
  constructor(code: ErrorCode, message: string, more?: object);
  readonly code: ErrorCode;
  /** Of a call: whether it was sent. It is never sent again. */
  readonly sent?: boolean;
  /** What came with the error. */
  readonly data?: any;
  /** The close code, if the server has closed for good. */
  readonly close?: number;
  /** The group whose subscription was refused. */
  readonly group?: string | object;
}

export interface Options {
  /**
   * Sent with each request as "auth_jwt". A function is asked when it is first
   * needed, and again when the server refuses the token or says that the
   * identity has expired. Defaults to "".
   */
  token?: string | (() => string | Promise<string>);
  /** Milliseconds between two pings, and that one may take. Defaults to 5000. */
  pingInterval?: number;
  /** Milliseconds that a call may take, waiting for the connection included. Defaults to 2000. */
  timeout?: number;
  /** Defaults to the browser's. */
  WebSocket?: new (url: string) => any;
}

/** The events and what their handlers get. Any other event is a group, see `on`. */
export interface Events {
  open: [];
  closed: [];
  reconnecting: [];
  status: [status: Status];
  resync: [resync: Resync];
  message: [message: Message];
  error: [error: RohrpostError | Error];
}

/** Keys of T whose values can be a key of the collection. */
type KeyOf<T> = { [P in keyof T]-?: NonNullable<T[P]> extends PropertyKey | readonly unknown[] ? P : never }[keyof T];

export interface WatchOptions<T extends object, K> {
  /** The field that tells items apart, or a function that returns its value. Defaults to "id". */
  key?: K;
  /** An update is the whole item and not merged into what is there. Defaults to false. */
  replace?: boolean;
  /** What the page has already, with the position it was read at: nothing is loaded if the server can tell the rest. */
  items?: readonly T[];
  since?: Position;
}

/** What `key` reads from an item. */
export type KeyValue<T, K> = K extends (item: any) => infer V ? V : K extends keyof T ? T[K] : never;

/** The items of a group, kept as the server has them. */
export interface Watch<T extends object, V = unknown> extends AsyncIterable<readonly T[]> {
  /** The items in the order of the state, new ones last. Another array after each change, the same in between. */
  readonly items: readonly T[];
  readonly status: Status;
  /** Why there are no items, if the server has refused them. */
  readonly error?: RohrpostError;
  /** Resolves once the items are here, or the watch is closed; rejects if they are refused. */
  readonly ready: Promise<this>;
  get(key: V): T | undefined;
  /**
   * Calls fn now and after changes; many changes in a row are one call, with
   * all of them. Without changes the state was loaded. Returns a function
   * that ends it.
   */
  subscribe(fn: (items: readonly T[], changes: readonly Change<Partial<T>>[]) => void): () => void;
  close(): void;
}

export class Rohrpost {
  /** Connects. A relative URL is one of the page's own server. */
  constructor(url: string | URL, options?: Options);
  readonly status: Status;

  /** Resolves with the answer once subscribed, which may take a lost connection or two. Counted: unsubscribe as often. */
  subscribe(group: Group): Promise<Subscribed>;
  unsubscribe(group: Group): Promise<Partial<Subscribed> | undefined>;

  /** The items of a group whose state is an array. */
  watch<T extends object = any, const K extends KeyOf<T> | ((item: T) => PropertyKey | readonly unknown[]) = "id" & KeyOf<T>>(
    group: Group,
    options?: WatchOptions<T, K>,
  ): Watch<T, KeyValue<T, K>>;

  /** Asks a handler of the server. Never sent twice; rejects with a RohrpostError. */
  call<R = any>(name: string, data?: unknown, options?: { timeout?: number }): Promise<R>;

  on<E extends keyof Events>(event: E, handler: (...values: Events[E]) => void): this;
  /** Messages of a group. The first value is null, as rohrpost-js has it. */
  on<T = any>(group: string, handler: (error: null, change: Change<T>) => void): this;
  once<E extends keyof Events>(event: E, handler: (...values: Events[E]) => void): this;
  once<T = any>(group: string, handler: (error: null, change: Change<T>) => void): this;
  off(event: string, handler: (...values: any[]) => void): this;

  close(): void;
}

export default Rohrpost;
