import { readable } from "svelte/store";

// A watch is a store itself. This one opens its watch with its first subscriber and closes it with its last.
export function watched(hub, target, options) {
  return readable(options?.items ?? [], (set) => {
    const watch = hub.watch(target, options);
    watch.subscribe(set);
    return () => watch.close();
  });
}

export function status(hub) {
  return readable(hub.status, (set) => {
    set(hub.status);
    hub.on("status", set);
    return () => hub.off("status", set);
  });
}
