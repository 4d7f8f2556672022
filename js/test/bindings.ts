// module.test.js compiles this file. Invalid code is marked.
import Rohrpost, { type Key, type RohrpostError, type Status, type Watch } from "@rohrpost/client";
import * as react from "@rohrpost/client/react";
import * as svelte from "@rohrpost/client/svelte";
import { fakeHub } from "@rohrpost/client/testing";
import { fetch } from "@rohrpost/client/fetch";
import { formatGroup } from "@rohrpost/client/names";
import { view } from "@rohrpost/client/view";
import * as vue from "@rohrpost/client/vue";
import type { Readable } from "svelte/store";
import { ref, type ShallowRef } from "vue";

type Equal<A, B> = (<X>() => X extends A ? 1 : 2) extends <X>() => X extends B ? 1 : 2 ? true : false;
const same = <A, B>(_: Equal<A, B>) => {};

type Card = { id: number; title: string };

const { hub } = fakeHub({ board: [{ id: 1 }] }, { key: "id" });
const cards = hub.watch<Card>("board");

// views
const open = view(cards, { sort: (a, b) => a.id - b.id, filter: (card) => card.title !== "" });
same<typeof open.items, readonly Card[]>(true);
open.get(1);
// @ts-expect-error
open.get("1");
open.set({ sort: undefined });
const sorted = view<Card>(hub, "board", { sort: (a, b) => a.id - b.id, replace: true });
sorted.get(7);
sorted.set({ filter: undefined });
view<Card>(hub, "board", { key: "title", filter: (card) => card.id > 1 }).get("x");
view(hub, "board", { key: "slug" }).get("x");
// @ts-expect-error
view<Card>(hub, "board", { sort: (a, b) => a.name - b.name });

// the names of groups, and requests with the id of the page
const name: string = formatGroup("wiki-{team}-{id:int}", { team: "a", id: 7n });
// @ts-expect-error
formatGroup("wiki-{team}", { team: null });
const response: Promise<Response> = fetch("/cards", { method: "POST" });
// @ts-expect-error
view(cards, { filter: (card) => card.name });
const any: Watch<Card> = open;

// React
const state = react.useWatch<Card>(hub, "board", { key: "title" });
same<typeof state.items, readonly Card[]>(true);
same<typeof state.watch, Watch<Card, Key> | undefined>(true);
react.useWatch<Card>(hub, null);
// @ts-expect-error
react.useWatch<Card>(hub, 7);
same<Status, ReturnType<typeof react.useStatus>>(true);
react.useStatus(hub);
react.useStatus(hub.group("board"));
react.useStatus(cards);
const add = react.useCall<number, [number, number]>(hub, "add");
add.call([1, 2]);
// @ts-expect-error
add.call("x");
same<typeof add.data, number | undefined>(true);
same<typeof add.error, RohrpostError | undefined>(true);

// Vue
const refs = vue.useWatch<Card>(hub, () => ({ type: "board", id: 1 }));
same<typeof refs.items, ShallowRef<readonly Card[]>>(true);
vue.useWatch<Card>(hub, ref("board"));
same<ReturnType<typeof vue.useStatus>, ShallowRef<Status>>(true);
vue.useStatus(cards);
vue.useCall<number>(hub, "add").data.value;

// Svelte
same<ReturnType<typeof svelte.watched<Card>>, Readable<readonly Card[]>>(true);
svelte.status(hub.group("board"));
// @ts-expect-error
svelte.watched(hub);

// testing
const fake = fakeHub();
fake.handle("add", ([a, b]: [number, number]) => a + b);
fake.refuse("board", "unavailable");
const real: Rohrpost = fake.hub;
