import type { MaybeRefOrGetter, ShallowRef } from "vue";
import type { Group, Key, Rohrpost, RohrpostError, Status, Target, Watch, WatchOptions } from "./rohrpost.js";

export interface WatchRefs<T extends object> {
  items: ShallowRef<readonly T[]>;
  status: ShallowRef<Status>;
  error: ShallowRef<RohrpostError | undefined>;
  watch: ShallowRef<Watch<T, Key> | undefined>;
}

/** Watches a group until the scope ends. A target of null or undefined watches nothing. */
export function useWatch<T extends object = any>(
  hub: Rohrpost,
  target: MaybeRefOrGetter<Target | null | undefined>,
  options?: WatchOptions<T>,
): WatchRefs<T>;

/** The status of a hub, a group or a watch. */
export function useStatus(source: Pick<Watch<any>, "status" | "on" | "off"> | Pick<Group, "status" | "on" | "off"> | Rohrpost): ShallowRef<Status>;

export interface CallRefs<R, D> {
  /** Calls the handler. Resolves with its result, or with undefined after an error. */
  call(data?: D): Promise<R | undefined>;
  pending: ShallowRef<boolean>;
  data: ShallowRef<R | undefined>;
  error: ShallowRef<RohrpostError | undefined>;
}

/** Calls a handler of the server and follows its last call. */
export function useCall<R = any, D = any>(hub: Rohrpost, name: string, options?: { timeout?: number }): CallRefs<R, D>;
