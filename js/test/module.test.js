// Tests of the package: sizes, files, types, and the examples of README.md.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { Rohrpost } from "../rohrpost.js";
import * as api from "../rohrpost.js";
import { connected } from "./support.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const read = (name) => readFileSync(join(root, name), "utf8");
const modules = readdirSync(root).filter((name) => name.endsWith(".js"));

// imports returns the modules that a module imports, itself included.
function imports(name, found = new Set()) {
  if (found.has(name)) return found;
  found.add(name);
  for (const [, next] of read(name).matchAll(/\bfrom "([^"]+)"/g)) imports(next.replace("./", ""), found);
  return found;
}

// js.Handler serves what is in dist; it compresses as gzip does.
const served = readdirSync(join(root, "dist"));
const size = (name) => gzipSync(read(`dist/${name}`), { level: 9 }).length;

for (const [name, limit] of [["rohrpost", 9000], ["view", 800], ["fetch", 500], ["names", 1200], ["react", 1000], ["vue", 1000], ["svelte", 1000], ["testing", 2500], ["blocked", 500]]) {
  test(`${name}.js is under ${limit} bytes, gzipped as it is served`, (t) => {
    const bytes = size(`${name}.js`);
    t.diagnostic(`${bytes} bytes`);
    assert.ok(bytes < limit, `${bytes} bytes`);
  });
}

test("the core is one module, and the others import nothing but the core and their framework", () => {
  for (const name of served) {
    const imported = [...read(`dist/${name}`).matchAll(/\b(?:from|import)\s*\(?"([^"]+)"/g)].map(([, other]) => other);
    const framework = name.replace(".js", "") === "svelte" ? "svelte/store" : name.replace(".js", "");
    const allowed = name === "rohrpost.js" ? ["./blocked.js"] : ["./rohrpost.js", framework];
    assert.deepEqual(imported.filter((other) => !allowed.includes(other)), [], name);
  }
  for (const name of served) if (!["rohrpost.js", "blocked.js"].includes(name)) assert.ok(!imports("rohrpost.js").has(name), name);
});

test("what is served is what the modules contain", () => {
  const { status, stdout, stderr } = spawnSync(join(root, "build.sh"), ["-check"], { encoding: "utf8" });
  assert.equal(status, 0, stdout + stderr);
});

test("what is served works", async (t) => {
  const { fakeHub } = await import("../dist/testing.js");
  const { view } = await import("../dist/view.js");
  const { Rohrpost, pageId } = await import("../dist/rohrpost.js");
  assert.equal(pageId, api.pageId, "a page that loads two copies is one page");
  const fake = fakeHub({ board: [{ id: 2 }, { id: 1 }] });
  t.after(() => fake.hub.close());
  assert.ok(fake.hub instanceof Rohrpost);
  const watch = fake.hub.watch("board");
  await watch.ready;
  fake.create("board", { id: 0 });
  assert.deepEqual(view(watch, { sort: (a, b) => a.id - b.id }).items, [{ id: 0 }, { id: 1 }, { id: 2 }]);
});

test("the package contains every module, its types and its license, and nothing else", () => {
  const { stdout } = spawnSync("npm", ["pack", "--dry-run", "--json"], { cwd: root, encoding: "utf8" });
  const files = JSON.parse(stdout)[0].files.map((file) => file.path).sort();
  const types = ["commonjs.d.cts", "fetch.d.ts", "names.d.ts", "react.d.ts", "rohrpost.d.ts", "svelte.d.ts", "testing.d.ts", "view.d.ts", "vue.d.ts"];
  assert.deepEqual(files, [...modules, ...types, "LICENSE", "README.md", "commonjs.cjs", "package.json"].sort());
  assert.equal(read("LICENSE"), read("../LICENSE"));
  const { dependencies, exports, name, license } = JSON.parse(read("package.json"));
  assert.deepEqual({ dependencies, name, license }, { dependencies: undefined, name: "@rohrpost/client", license: "MIT" });
  for (const { import: esm } of Object.values(exports)) if (esm) assert.ok(files.includes(esm.default.slice(2)) && files.includes(esm.types.slice(2)));
  for (const name of imports("rohrpost.js")) {
    assert.doesNotMatch(read(name), /\brequire\(/);
    for (const [, other] of read(name).matchAll(/\bimport\("\.\/([^"]+)"\)/g)) assert.ok(modules.includes(other), other);
  }
});

test("CommonJS users get a clear answer", () => {
  const require = createRequire(import.meta.url);
  for (const name of ["@rohrpost/client", "@rohrpost/client/react"]) assert.throws(() => require(name), /is an ES module: use import/);
});

for (const [tool, args, good] of [["publint", ["--strict"], /All good/], ["attw", ["--pack", ".", "--no-emoji"], /No problems found/]]) {
  test(`${tool} finds no problem`, () => {
    const { stdout, stderr, status } = spawnSync(join(root, "node_modules/.bin", tool), args, { cwd: root, encoding: "utf8" });
    assert.equal(status, 0, stdout + stderr);
    assert.match(stdout, good);
  });
}

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
  assert.deepEqual(Object.keys(api).sort(), ["Rohrpost", "RohrpostError", "default", "pageId"]);
  assert.equal(Rohrpost, api.default);
});

const blocks = [...read("README.md").matchAll(/```(tsx?)\n([\s\S]*?)```/g)].map(([, kind, text], i) => [`readme${i}.${kind}`, text]);

test("the examples of the README compile, with the oldest TypeScript too", (t) => {
  assert.deepEqual(blocks.map(([name]) => name.split(".")[1]), ["ts", "ts", "ts", "tsx", "ts", "ts", "ts"]);
  for (const compiler of ["typescript", "typescript-5.0"]) {
    const options = ["--noEmit", "--skipLibCheck", "--jsx", "react-jsx", "--types", "react"];
    const { status, output } = compile(t, Object.fromEntries(blocks), options, compiler);
    assert.equal(status, 0, output);
  }
});

test("the types of the bindings accept valid code and reject invalid code", (t) => {
  const { status, output } = compile(t, { "bindings.ts": read("test/bindings.ts") }, ["--noEmit", "--skipLibCheck", "--types", "react"]);
  assert.equal(status, 0, output);
});
