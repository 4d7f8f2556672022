// Tests of the Svelte stores, with a fake hub.
import { get } from "svelte/store";
import { afterEach, expect, test, vi } from "vitest";
import { status, watched } from "../svelte.js";
import { fakeHub } from "../testing.js";

let fake;
afterEach(() => fake.hub.close());

test("watched opens its watch with the first subscriber and closes it with the last", async () => {
  fake = fakeHub({ board: [{ id: 1 }] });
  const watch = vi.spyOn(fake.hub, "watch");
  const store = watched(fake.hub, "board");
  expect(watch).not.toHaveBeenCalled();
  const seen = [];
  const ends = [store.subscribe((items) => seen.push(items.length)), store.subscribe(() => {})];
  await vi.waitFor(() => expect(seen.at(-1)).toBe(1));
  fake.create("board", { id: 2 });
  await vi.waitFor(() => expect(seen.at(-1)).toBe(2));
  ends.forEach((end) => end());
  expect(watch).toHaveBeenCalledTimes(1);
  expect(watch.mock.results[0].value.status).toBe("closed");
});

test("a watch is a store itself", async () => {
  fake = fakeHub({ board: [{ id: 1 }] });
  const watch = fake.hub.watch("board");
  await watch.ready;
  expect(get(watch)).toEqual([{ id: 1 }]);
});

test("status follows the hub", async () => {
  fake = fakeHub();
  const seen = [];
  const end = status(fake.hub).subscribe((now) => seen.push(now));
  await vi.waitFor(() => expect(seen.at(-1)).toBe("live"));
  fake.offline();
  expect(seen.at(-1)).toBe("stale");
  end();
});
