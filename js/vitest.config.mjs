export default { test: { include: ["test/*.vitest.js"], environment: "jsdom", pool: "threads", maxWorkers: 1, isolate: true } };
