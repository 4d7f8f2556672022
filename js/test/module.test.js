// Tests of the module as a file: its size, its types, and the adapters of README.md.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { Rohrpost } from "../rohrpost.js";
import * as api from "../rohrpost.js";
import { connected } from "./support.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const read = (name) => readFileSync(join(root, name), "utf8");

// imports returns the modules that a module imports, itself included.
function imports(name, found = new Set()) {
  if (found.has(name)) return found;
  found.add(name);
  for (const [, next] of read(name).matchAll(/\bfrom "([^"]+)"/g)) imports(next.replace("./", ""), found);
  return found;
}

// compact does what js.Handler does before it compresses a module.
const compact = (text) => text.replace(/^ +/gm, "").replace(/^\/\/.*$/gm, "").replace(/([;,{}]) \/\/ .*$/gm, "$1").replace(/\n+/g, "\n");

test("the modules of the core are under 9 kB gzipped", (t) => {
  const text = [...imports("rohrpost.js")].map((name) => compact(read(name))).join("");
  const bytes = gzipSync(text, { level: 9 }).length;
  t.diagnostic(`${bytes} bytes`);
  assert.ok(bytes < 9000, `${bytes} bytes`);
});

test("the core has no dependencies, and every module is a file of the package", () => {
  const { dependencies, files, name, license } = JSON.parse(read("package.json"));
  for (const module of imports("rohrpost.js")) {
    assert.doesNotMatch(read(module), /\brequire\(/);
    for (const [, name] of read(module).matchAll(/\bimport\("\.\/([^"]+)"\)/g)) assert.ok(files.includes(name), name);
    assert.ok(files.includes(module), module);
  }
  assert.deepEqual({ dependencies, name, license }, { dependencies: undefined, name: "rohrpost", license: "MIT" });
  for (const file of files) assert.ok(read(file));
});

// compile writes the files into a new folder and compiles them there.
function compile(t, files, options, compiler = "typescript") {
  const folder = mkdtempSync(join(root, "test", "tmp-"));
  t.after(() => rmSync(folder, { recursive: true }));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  const strict = ["--strict", "--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom,esnext.asynciterable"];
  const args = [join(root, `node_modules/${compiler}/bin/tsc`), ...strict, ...options, ...Object.keys(files)];
  const { stdout, stderr, status } = spawnSync(process.execPath, args, { cwd: folder, encoding: "utf8" });
  return { folder, status, output: stdout + stderr };
}

for (const compiler of ["typescript", "typescript-5.0"]) {
  test(`the types accept valid code and reject invalid code: ${compiler}`, (t) => {
    const types = read("test/types.ts");
    const options = ["--noEmit", "--typeRoots", "none"];
    const { status, output } = compile(t, { "types.ts": types }, options, compiler);
    assert.equal(status, 0, output);
    const wrong = compile(t, { "types.ts": types.replaceAll("// @ts-expect-error", "") }, options, compiler);
    const errors = wrong.output.match(/error TS/g)?.length;
    assert.equal(errors, types.match(/@ts-expect-error/g).length, wrong.output);
  });
}

test("the types declare every method", async (t) => {
  const types = read("rohrpost.d.ts");
  const { client } = await connected(t);
  const watch = client.watch("a");
  const own = (value) => Object.getOwnPropertyNames(Object.getPrototypeOf(value)).filter((n) => n !== "constructor" && !n.startsWith("_"));
  for (const name of [...own(client), ...own(watch)]) assert.match(types, new RegExp(`\\b${name}\\b`));
  for (const name of own(client.group("a"))) assert.match(types, new RegExp(`\\b${name}\\b`));
  assert.deepEqual(Object.keys(api).sort(), ["Rohrpost", "RohrpostError", "default"]);
  assert.equal(Rohrpost, api.default);
});

const blocks = [...read("README.md").matchAll(/```(tsx?)\n([\s\S]*?)```/g)].map(([, kind, text], i) => [`readme${i}.${kind}`, text]);

test("the adapters of the README work", async (t) => {
  assert.deepEqual(blocks.map(([name]) => name), ["readme0.ts", "readme1.tsx", "readme2.ts", "readme3.ts"]);
  const { folder, status, output } = compile(t, Object.fromEntries(blocks), ["--skipLibCheck", "--jsx", "react-jsx", "--types", "react"]);
  assert.equal(status, 0, output);
  const adapter = (name) => import(pathToFileURL(join(folder, name)));

  const { clock, network, client } = await connected(t);
  const serve = async (snapshot) => {
    network.last.reply(network.last.requests("subscribe").at(-1), { group: "board", epoch: "e", offset: 0, snapshot });
    await clock.run(100);
  };

  await t.test("Vue", async () => {
    const { effectScope } = await import("vue");
    const { useWatch } = await adapter("readme2.js");
    const scope = effectScope();
    const items = scope.run(() => useWatch(client, "board"));
    assert.deepEqual(items.value, []);
    await serve([{ id: 1 }]);
    assert.deepEqual(items.value, [{ id: 1 }]);
    scope.stop();
    await clock.run(0);
    assert.equal(network.last.requests("unsubscribe").length, 1);
  });

  await t.test("Svelte", async () => {
    const { watched } = await adapter("readme3.js");
    const seen = [];
    const end = watched(client, "board").subscribe((items) => seen.push(items.length));
    await serve([{ id: 1 }, { id: 2 }]);
    end();
    await clock.run(0);
    assert.equal(seen.at(-1), 2);
    assert.equal(network.last.requests("unsubscribe").length, 2);
  });

  await t.test("a watch is a store of Svelte", async () => {
    const { get } = await import("svelte/store");
    const watch = client.watch("board");
    await serve([{ id: 1 }]);
    assert.deepEqual(get(watch), [{ id: 1 }]);
  });
});
