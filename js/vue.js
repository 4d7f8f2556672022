import { onScopeDispose, shallowRef, toValue, watch as observe } from "vue";

export function useWatch(hub, target, options) {
  const items = shallowRef();
  const status = shallowRef();
  const error = shallowRef();
  const watch = shallowRef();
  const open = () => {
    watch.value?.close();
    watch.value = undefined;
    items.value = options?.items ?? [];
    status.value = "connecting";
    error.value = undefined;
    const value = toValue(target);
    // A server does not render live data and does not end the scope.
    if (value == null || typeof document === "undefined") return;
    const made = hub.watch(value, options);
    const update = () => {
      if (watch.value !== made) return;
      items.value = made.items;
      status.value = made.status;
      error.value = made.error;
    };
    watch.value = made;
    made.on("status", update).subscribe(update);
  };
  observe(() => JSON.stringify(toValue(target)), open, { immediate: true, flush: "sync" });
  onScopeDispose(() => watch.value?.close());
  return { items, status, error, watch };
}

export function useStatus(hub) {
  const status = shallowRef(hub.status);
  const update = (now) => (status.value = now);
  if (typeof document === "undefined") return status;
  hub.on("status", update);
  onScopeDispose(() => hub.off("status", update));
  return status;
}

export function useCall(hub, name, options) {
  const pending = shallowRef(false);
  const data = shallowRef();
  const error = shallowRef();
  let number = 0;
  const call = async (value) => {
    const n = ++number;
    const end = (result, failure) => {
      if (n !== number) return;
      [pending.value, data.value, error.value] = [false, result, failure];
    };
    pending.value = true;
    try {
      const result = await hub.call(name, value, options);
      end(result);
      return result;
    } catch (failure) {
      end(undefined, failure);
    }
  };
  return { call, pending, data, error };
}
