import type { Key, KeyOf, KeyValue, Rohrpost, Target, Watch, WatchOptions } from "./rohrpost.js";

export interface ViewOptions<T> {
  /** Compares two items, as the argument of Array.sort does. Defaults to the order of the watch. */
  sort?: (a: T, b: T) => number;
  /** Whether the view shows an item. An update that stops matching removes it. Defaults to all. */
  filter?: (item: T) => boolean;
}

/** A watch with an order and a filter of its own. close() closes the watch. */
export interface View<T extends object, V = unknown> extends Watch<T, V> {
  /** Replaces the order or the filter, and calls the subscribers. */
  set(options: ViewOptions<T>): void;
}

/** Watches a group, and returns its matching items in order, kept up to date: hub.watch with the options of a view. */
export function view<T extends object = any>(
  hub: Rohrpost,
  target: Target,
  options?: ViewOptions<T> & WatchOptions<T, undefined>,
): View<T, T extends { id: infer V } ? V : Key>;
export function view<T extends object = any>(hub: Rohrpost, target: Target, options: ViewOptions<T> & WatchOptions<T>): View<T, Key>;
export function view<T extends object, const K extends KeyOf<T> | ((item: T) => Key)>(
  hub: Rohrpost,
  target: Target,
  options: ViewOptions<T> & WatchOptions<T, K>,
): View<T, KeyValue<T, K>>;

/** Returns another view of a watch. A watch may have several. */
export function view<T extends object, V>(watch: Watch<T, V>, options: ViewOptions<T>): View<T, V>;
