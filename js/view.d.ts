import type { Watch } from "./rohrpost.js";

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

/** Returns the matching items of a watch in order, kept up to date. A watch may have several views. */
export function view<T extends object, V>(watch: Watch<T, V>, options: ViewOptions<T>): View<T, V>;
