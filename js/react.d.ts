import type { Group, Key, Rohrpost, RohrpostError, Status, Target, Watch, WatchOptions } from "./rohrpost.js";

export interface WatchState<T extends object, V = Key> {
  /** Empty while another group is being loaded. */
  items: readonly T[];
  status: Status;
  error?: RohrpostError;
  /** Undefined before the first effect and while the target is null. */
  watch?: Watch<T, V>;
}

/**
 * Watches a group while the component is mounted. A target of null or undefined
 * watches nothing. Later options apply when the target changes.
 */
export function useWatch<T extends object = any>(hub: Rohrpost, target: Target | null | undefined, options?: WatchOptions<T>): WatchState<T>;

/** The status of a hub, a group or a watch. */
export function useStatus(source: Pick<Watch<any>, "status" | "on" | "off"> | Pick<Group, "status" | "on" | "off"> | Rohrpost): Status;

export interface CallState<R, D> {
  /** Calls the handler. Resolves with its result, or with undefined after an error. */
  call(data?: D): Promise<R | undefined>;
  /** Whether the last call runs. */
  pending: boolean;
  /** The result of the last call. */
  data?: R;
  /** The error of the last call. */
  error?: RohrpostError;
}

/** Calls a handler of the server and follows its last call. */
export function useCall<R = any, D = any>(hub: Rohrpost, name: string, options?: { timeout?: number }): CallState<R, D>;
