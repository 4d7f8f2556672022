import { useCallback, useEffect, useRef, useState, useSyncExternalStore } from "react";

const none = Object.freeze([]);

export function useWatch(hub, target, options) {
  const key = JSON.stringify(target);
  const latest = useRef();
  latest.current = { target, options };
  const [made, setMade] = useState();
  useEffect(() => {
    const { target, options } = latest.current;
    if (target == null) return;
    const watch = hub.watch(target, options);
    setMade({ hub, key, watch });
    return () => watch.close();
  }, [hub, key]);
  // After a change of the group its rows must not be shown for a single render.
  const watch = made?.hub === hub && made.key === key ? made.watch : undefined;
  const subscribe = useCallback(
    (fn) => {
      if (!watch) return () => {};
      watch.on("status", fn);
      const end = watch.subscribe(fn);
      return () => {
        watch.off("status", fn);
        end();
      };
    },
    [watch],
  );
  const first = options?.items ?? none;
  const items = useSyncExternalStore(subscribe, () => watch?.items ?? first, () => first);
  const status = useSyncExternalStore(subscribe, () => watch?.status ?? "connecting", () => "connecting");
  return { items, status, error: watch?.error, watch };
}

export function useStatus(hub) {
  const subscribe = useCallback(
    (fn) => {
      hub.on("status", fn);
      return () => hub.off("status", fn);
    },
    [hub],
  );
  return useSyncExternalStore(subscribe, () => hub.status, () => "connecting");
}

export function useCall(hub, name, options) {
  const latest = useRef();
  const number = useRef(0);
  latest.current = options;
  const [state, setState] = useState({ pending: false });
  const call = useCallback(
    async (data) => {
      const n = ++number.current;
      setState({ pending: true });
      const end = (state) => n === number.current && setState({ pending: false, ...state });
      try {
        const value = await hub.call(name, data, latest.current);
        end({ data: value });
        return value;
      } catch (error) {
        end({ error });
      }
    },
    [hub, name],
  );
  return { call, ...state };
}
