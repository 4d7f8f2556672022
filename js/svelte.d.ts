import type { Readable } from "svelte/store";
import type { Group, Rohrpost, Status, Target, Watch, WatchOptions } from "./rohrpost.js";

/** A store of the items of a group, which watches the group while it has subscribers. A watch is a store, too, until it is closed. */
export function watched<T extends object = any>(hub: Rohrpost, target: Target, options?: WatchOptions<T>): Readable<readonly T[]>;

/** A store of the status of a hub, a group or a watch. */
export function status(source: Pick<Watch<any>, "status" | "on" | "off"> | Pick<Group, "status" | "on" | "off"> | Rohrpost): Readable<Status>;
