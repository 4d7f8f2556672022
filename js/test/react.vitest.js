// Tests of the React hooks in a DOM, with a fake hub.
import { StrictMode, createElement as h } from "react";
import { createRoot } from "react-dom/client";
import { renderToString } from "react-dom/server";
import { afterEach, expect, test, vi } from "vitest";
import { useCall, useStatus, useWatch } from "../react.js";
import { fakeHub } from "../testing.js";

let root;
let fake;
afterEach(async () => {
  root?.unmount();
  fake.hub.close();
  root = undefined;
});

async function render(element) {
  root ??= createRoot(document.body.appendChild(document.createElement("div")));
  root.render(element);
  await new Promise((resolve) => setTimeout(resolve));
}

const shows = (text) => vi.waitFor(() => expect(document.body.lastChild.textContent).toBe(text));

const rows = (...titles) => titles.map((title, i) => ({ id: i + 1, title }));

function List({ group, seen, options }) {
  const { items, status, error } = useWatch(fake.hub, group, options);
  seen?.push([group, items.map((item) => item.title).join("")]);
  return h("p", null, items.map((item) => item.title).join(" "), "|", status, error ? `|${error.code}` : "");
}

test("useWatch shows the items and each change, in StrictMode too", async () => {
  fake = fakeHub({ board: rows("a", "b") });
  await render(h(StrictMode, null, h(List, { group: "board" })));
  await shows("a b|live");
  fake.create("board", { id: 3, title: "c" });
  await shows("a b c|live");
  fake.offline();
  await shows("a b c|stale");
  fake.online();
  await shows("a b c|live");
});

test("StrictMode leaves one watch, and unmounting leaves none", async () => {
  fake = fakeHub({ board: rows("a") });
  const sent = [];
  fake.hub.on("send", (text) => typeof text === "string" && sent.push(JSON.parse(text).type));
  await render(h(StrictMode, null, h(List, { group: "board" })));
  await shows("a|live");
  expect(sent.filter((type) => type === "unsubscribe")).toEqual([]);
  await render(null);
  await vi.waitFor(() => expect(sent.filter((type) => type === "unsubscribe").length).toBe(1));
});

test("the rows of the old group are never shown under the new one", async () => {
  fake = fakeHub({ mine: rows("secret"), yours: rows("public") });
  const seen = [];
  await render(h(List, { group: "mine", seen }));
  await shows("secret|live");
  await render(h(List, { group: "yours", seen }));
  await shows("public|live");
  expect(seen.filter(([group, text]) => group === "yours" && text === "secret")).toEqual([]);
});

test("an object as target does not watch again with each render", async () => {
  fake = fakeHub({ "article-7": rows("a") });
  const watch = vi.spyOn(fake.hub, "watch");
  for (let n = 0; n < 3; n++) await render(h(List, { group: { type: "article", id: 7 } }));
  await shows("a|live");
  expect(watch).toHaveBeenCalledTimes(1);
});

test("a refusal shows its code and no rows, and a closed hub blanks nothing", async () => {
  fake = fakeHub({ board: rows("a") });
  fake.hub.on("error", () => {});
  await render(h(List, { group: "board" }));
  await shows("a|live");
  fake.refuse("board");
  await shows("|closed|unsubscribed");
  fake.hub.close();
  await render(h(List, { group: "other" }));
  await shows("|closed|closed");
});

test("a target of null watches nothing", async () => {
  fake = fakeHub();
  await render(h(List, { group: null }));
  await shows("|connecting");
});

test("the server renders the given items", () => {
  fake = fakeHub();
  const html = renderToString(h(List, { group: "board", options: { items: rows("a") } }));
  expect(html.replaceAll("<!-- -->", "")).toBe("<p>a|connecting</p>");
});

test("useStatus follows the hub", async () => {
  fake = fakeHub();
  const Status = () => h("p", null, useStatus(fake.hub));
  await render(h(Status));
  await shows("live");
  fake.offline();
  await shows("stale");
});

test("useCall follows the last call", async () => {
  fake = fakeHub();
  let release;
  fake.handle("add", ([a, b]) => new Promise((resolve) => (release = () => resolve(a + b))));
  fake.handle("fail", () => {
    throw new Error("No.");
  });
  let calls;
  const Sum = ({ name }) => {
    calls = useCall(fake.hub, name);
    return h("p", null, `${calls.pending}|${calls.data}|${calls.error?.message}`);
  };
  await render(h(Sum, { name: "add" }));
  await shows("false|undefined|undefined");
  const result = calls.call([1, 2]);
  await shows("true|undefined|undefined");
  await vi.waitFor(() => release());
  await shows("false|3|undefined");
  expect(await result).toBe(3);
  await render(h(Sum, { name: "fail" }));
  expect(await calls.call()).toBe(undefined);
  await shows("false|undefined|No.");
});
