// Ends the processes of a test that is interrupted.
const cleanups = new Set();

// atExit calls kill when this process ends, unless the returned function was called.
export function atExit(kill) {
  cleanups.add(kill);
  return () => cleanups.delete(kill);
}

process.once("exit", () => cleanups.forEach((kill) => kill()));
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));
