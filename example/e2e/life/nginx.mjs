// nginx in front of the test server.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sleep } from "../support.mjs";
import { atExit } from "./cleanup.mjs";

const config = (folder, port, server) => `
daemon off;
worker_processes 1;
pid ${folder}/pid;
error_log /dev/null;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  server {
    listen 127.0.0.1:${port};
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection upgrade;
    location / { proxy_pass http://${server}; proxy_set_header Connection ""; }
    location /ws/ { proxy_pass http://${server}; }             # the whole subtree
    location = /one { proxy_pass http://${server}/ws/; }       # one path, of a hub that answers all
    location /one { return 404; }
    location = /exact { proxy_pass http://${server}; }         # one path, of a hub that answers only this
  }
}
`;

// startNginx returns the address of an nginx that passes requests to a server.
export async function startNginx(t, server) {
  const folder = mkdtempSync(join(tmpdir(), "nginx-"));
  const port = await freePort();
  writeFileSync(join(folder, "nginx.conf"), config(folder, port, server.address));
  const nginx = spawn("nginx", ["-p", folder, "-e", "/dev/null", "-c", join(folder, "nginx.conf")], { stdio: "inherit" });
  const ended = new Promise((resolve, reject) => nginx.once("exit", resolve).once("error", reject));
  const ending = atExit(() => nginx.kill());
  t.after(async () => {
    if (ending()) nginx.kill();
    await ended;
    rmSync(folder, { recursive: true, force: true });
  });
  const address = `127.0.0.1:${port}`;
  for (let tries = 50; tries > 0; tries--) {
    const up = await fetch(`http://${address}/`).then((response) => response.ok, () => false);
    if (up) return { address };
    await Promise.race([sleep(100), ended]);
  }
  throw new Error("nginx does not answer");
}

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
