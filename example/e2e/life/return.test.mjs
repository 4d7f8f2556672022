// All pages return soon after the hub was away for AWAY seconds, 20 by default. Firefox
// delays attempts at a path that has failed, for all its tabs.
import { test } from "node:test";
import { engine, openLive, openPage, sleep, startServer, useEngine, within } from "./support.mjs";

useEngine();

const many = engine === "firefox" ? 30 : 1;
const away = 1000 * (process.env.AWAY ?? 20); // ms
const query = {}; // the default delays

test(`a page is live within 5 s, and ${many} pages within 10 s`, async (t) => {
  const [one, other] = [await startServer(t), await startServer(t)];
  const page = await openLive(t, one, one, query);
  const pages = [];
  while (pages.length < many) pages.push(await openPage(t, other, query));
  for (const page of pages) await page.shows("status", "live");
  await Promise.all([one.stop("SIGKILL"), other.stop("SIGKILL")]);
  await page.shows("status", "stale");
  await sleep(away);
  const returned = Date.now();
  await Promise.all([one.start(), other.start()]);
  const live = async (page) => {
    await page.shows("status", "live", 70_000);
    return (await page.log()).findLast(({ text }) => text === "live").at - returned;
  };
  const took = await live(page);
  const all = (await Promise.all(pages.map(live))).sort((a, b) => a - b);
  t.diagnostic(`${many} pages, the first: ${all[0]} ms`);
  within(t, "one page", took, 5000);
  within(t, `${many} pages, the last`, all.at(-1), 10_000);
});
