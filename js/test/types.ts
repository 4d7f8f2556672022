// module.test.js compiles this file. Invalid code is marked.
import Rohrpost, { RohrpostError, pageId, type Change, type Position, type Resync, type Status, type Watch } from "@rohrpost/client";

type Equal<A, B> = (<X>() => X extends A ? 1 : 2) extends <X>() => X extends B ? 1 : 2 ? true : false;
const same = <A, B>(_: Equal<A, B>) => {};

type Card = { id: number; title: string; by?: string };

const hub = new Rohrpost("/ws", { token: async () => "t", pingInterval: 1000, timeout: 500 });
new Rohrpost(new URL("wss://example.org/ws"), { token: "t" });
// @ts-expect-error
new Rohrpost();
// @ts-expect-error
new Rohrpost("/ws", { tokens: "t" });
// @ts-expect-error
hub.status = "live";

// watch: the type of the items and of the argument of get()
const cards = hub.watch<Card>("board");
same<typeof cards.items, readonly Card[]>(true);
cards.get(7);
// @ts-expect-error
cards.get("7");
// @ts-expect-error
cards.items.push({ id: 1, title: "" });
// @ts-expect-error
hub.watch<Card>("board", { key: "titel" });
// @ts-expect-error
hub.watch<{ name: string; seen: Date }>("board", { key: "seen" });

const byTitle = hub.watch<Card, "title">("board", { key: "title", replace: true });
byTitle.get("x");
// @ts-expect-error
byTitle.get(7);
hub.watch<Card, (card: Card) => string>({ type: "board", id: 1 }, { key: (card) => `${card.id}` }).get("7");
hub.watch("board").get(1);

// the key with the type of the items alone
hub.watch<Card>("board", { key: "title" }).get("x");
hub.watch<Card>("board", { key: (c) => c.title }).get("x");
const byUUID = hub.watch<{ uuid: string }>("board", { key: "uuid" });
same<typeof byUUID.items, readonly { uuid: string }[]>(true);
hub.watch<{ uuid: string }>("board");
hub.watch<Card>("board", { key: (c) => [c.id, c.title] }).get([1, "x"]);
// @ts-expect-error
hub.watch<Card>("board", { key: (c) => c.name });
hub.watch("board", { key: "slug" }).get("x");

// sort and filter are options of a view
// @ts-expect-error
hub.watch<Card>("board", { sort: (a: Card, b: Card) => a.id - b.id });

const position: Position = { epoch: "e", offset: 1 };
hub.watch<Card>("board", { items: [{ id: 1, title: "one" }], since: position });
// @ts-expect-error
hub.watch<Card>("board", { items: [{ id: 1 }], since: position });

const end: () => void = cards.subscribe((items, changes) => {
  same<typeof items, readonly Card[]>(true);
  same<typeof changes, readonly Change<Partial<Card>>[]>(true);
});
end();
async () => {
  for await (const items of cards) same<typeof items, readonly Card[]>(true);
  const ready = await cards.ready;
  ready.items;
};
const any: Watch<Card> = cards;
same<typeof any.status, Status>(true);

// events
hub.on("status", (status) => same<typeof status, Status>(true)).once("open", () => {});
hub.on("resync", (resync) => same<typeof resync, Resync>(true));
hub.on("error", (error) => error instanceof RohrpostError && error.code === "refused");
hub.on<Card>("board", (error, change) => {
  same<typeof error, null>(true);
  same<typeof change.object, Card>(true);
});
// @ts-expect-error
hub.on("status", (status: number) => {});

cards.on("status", (status) => same<typeof status, Status>(true)).off("status", () => {});

// groups
const board = hub.group("board");
same<typeof board.status, Status>(true);
board.on("status", (status) => same<typeof status, Status>(true));
board.on("change", (change) => change.offset);
board.on<{ text: string }>("hint", (hint) => hint.text);
board.on("error", (error) => error.code === "unsubscribed" && error.reason);
// @ts-expect-error
board.status = "live";

// connecting
new Rohrpost("/ws", { autoConnect: false, reconnectDelay: { min: 100 }, debug: true, timeout: Infinity }).connect();
// @ts-expect-error
new Rohrpost("/ws", { reconnectDelay: 100 });
hub.disconnect();

// the page's own changes
hub.on<Card>("board", (_, { self, origin }) => {
  same<typeof self, boolean | undefined>(true);
  return origin === pageId;
});
const id: string = pageId;

// requests
async () => {
  same<Awaited<ReturnType<typeof hub.call<number>>>, number>(true);
  const sum: number = await hub.call<number>("add", [1, 2], { timeout: 100 });
  // @ts-expect-error
  await hub.call("add", [1], { timeout: "1s" });
  const { group, offset } = await hub.subscribe({ type: "article", id: 7, since: position, snapshot: true });
  same<typeof group, string>(true);
  same<typeof offset, number | undefined>(true);
  await hub.unsubscribe("article-7");
  // @ts-expect-error
  await hub.subscribe(7);
  return sum;
};
try {
} catch (error) {
  if (error instanceof RohrpostError && error.code === "lost" && error.sent) error.message;
  // @ts-expect-error
  if (error instanceof RohrpostError && error.code === "nonsense") error.message;
}
