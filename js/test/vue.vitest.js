// Tests of the Vue composables in a DOM, with a fake hub.
import { afterEach, expect, test, vi } from "vitest";
import { createApp, createSSRApp, h, nextTick, ref } from "vue";
import { renderToString } from "vue/server-renderer";
import { fakeHub } from "../testing.js";
import { useCall, useStatus, useWatch } from "../vue.js";

let app;
let fake;
afterEach(() => {
  app?.unmount();
  fake.hub.close();
  app = undefined;
});

function mount(setup) {
  const element = document.createElement("div");
  app = createApp({ setup });
  app.mount(element);
  return { shows: (text) => vi.waitFor(() => expect(element.textContent).toBe(text)), element };
}

const rows = (...titles) => titles.map((title, i) => ({ id: i + 1, title }));
const text = ({ items, status, error }) => `${items.value.map((item) => item.title).join(" ")}|${status.value}|${error.value?.code ?? ""}`;

test("useWatch shows the items and each change", async () => {
  fake = fakeHub({ board: rows("a") });
  const { shows } = mount(() => {
    const board = useWatch(fake.hub, "board");
    return () => h("p", text(board));
  });
  await shows("a|live|");
  fake.create("board", { id: 2, title: "b" });
  await shows("a b|live|");
});

test("another group shows no rows of the old one", async () => {
  fake = fakeHub({ mine: rows("secret"), yours: rows("public") });
  const group = ref("mine");
  const seen = [];
  const { shows } = mount(() => {
    const board = useWatch(fake.hub, group);
    return () => {
      seen.push([group.value, text(board)]);
      return h("p", text(board));
    };
  });
  await shows("secret|live|");
  group.value = "yours";
  await nextTick();
  await shows("public|live|");
  expect(seen.filter(([name, shown]) => name === "yours" && shown.includes("secret"))).toEqual([]);
});

test("no group shows no rows of the old one", async () => {
  fake = fakeHub({ mine: rows("secret") });
  fake.hub.on("error", () => {});
  const group = ref("mine");
  let board;
  const { shows } = mount(() => {
    board = useWatch(fake.hub, group);
    return () => h("p", text(board));
  });
  await shows("secret|live|");
  group.value = null;
  await shows("|connecting|");
  group.value = "mine";
  await shows("secret|live|");
  fake.refuse("mine");
  await shows("|closed|unsubscribed");
  group.value = undefined;
  await shows("|connecting|");
  expect(board.watch.value).toBe(undefined);
});

test("the watch closes with its scope", async () => {
  fake = fakeHub({ board: rows("a") });
  let board;
  const { shows } = mount(() => {
    board = useWatch(fake.hub, "board");
    return () => h("p", text(board));
  });
  await shows("a|live|");
  app.unmount();
  app = undefined;
  expect(board.watch.value.status).toBe("closed");
});

test("useStatus and useCall", async () => {
  fake = fakeHub();
  fake.handle("add", ([a, b]) => a + b);
  let add;
  const { shows } = mount(() => {
    const status = useStatus(fake.hub);
    add = useCall(fake.hub, "add");
    return () => h("p", `${status.value}|${add.pending.value}|${add.data.value}|${add.error.value?.code}`);
  });
  await shows("live|false|undefined|undefined");
  expect(await add.call([1, 2])).toBe(3);
  await shows("live|false|3|undefined");
});

test("a server renders without a watch", async () => {
  fake = fakeHub({ board: rows("a") });
  const watch = vi.spyOn(fake.hub, "watch");
  vi.stubGlobal("document", undefined);
  const html = await renderToString(createSSRApp({
    setup() {
      const board = useWatch(fake.hub, "board", { items: rows("given") });
      return () => h("p", text(board));
    },
  }));
  vi.unstubAllGlobals();
  expect(html).toBe("<p>given|connecting|</p>");
  expect(watch).not.toHaveBeenCalled();
});
