// All pages return when the hub behind nginx was away, whether nginx passes the paths below
// that of the hub or not.
import { test } from "node:test";
import { startNginx } from "./nginx.mjs";
import { add, engine, openPage, sleep, startServer, useEngine, within } from "./support.mjs";

useEngine();

const away = 1000 * (process.env.AWAY ?? 4); // ms

// Firefox holds back attempts at a path that has failed for up to a minute.
const slowly = engine === "firefox" ? 75_000 : 5000;

test("pages behind nginx", { concurrency: true }, async (t) => {
  await Promise.all([
    ["/ws/", "passes the subtree", 5000],
    ["/one", "passes one path of a hub that answers a subtree", slowly],
    ["/exact", "passes one path of a hub that answers only this", slowly],
  ].map(([hub, what, limit]) =>
    t.test(`a page is live after the hub was away: nginx ${what}`, async (t) => {
      const server = await startServer(t);
      const nginx = await startNginx(t, server);
      const page = await openPage(t, nginx, { hub });
      await page.shows("status", "live");
      for (const title of ["first", "second"]) {
        await server.stop("SIGKILL");
        await page.shows("status", "stale");
        await sleep(away);
        await server.start();
        const returned = Date.now();
        await add(server, title);
        await page.shows("newest", title, slowly + 5000);
        within(t, `${hub}, the ${title} time`, Date.now() - returned, limit);
      }
    }),
  ));
});
