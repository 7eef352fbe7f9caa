import { spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { ROOT } from "../../scripts/root.ts";
import { freePort, startServer, temporaryFolder, type Server } from "./processes.ts";

/** The gateways to compare with, in front of the same mock. */

const NODE = join(ROOT, "node_modules/.bin/node");
const REFERENCES = join(ROOT, "bench/references");

export function nginxVersion(): string | null {
  const { stderr, error } = spawnSync("nginx", ["-v"], { encoding: "utf8" });
  return error === undefined ? stderr.trim().replace(/^.*nginx\//, "") : null;
}

export async function startNginx(upstreamPort: number): Promise<Server> {
  const folder = temporaryFolder();
  const port = await freePort();
  const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((kind) => `${kind}_temp_path ${folder}/${kind};`)
    .join(" ");
  const config = `worker_processes 1; daemon off; pid ${folder}/pid; error_log /dev/null;
events { worker_connections 4096; }
http { access_log off; keepalive_requests 10000000; ${paths}
  upstream mock { server 127.0.0.1:${upstreamPort}; keepalive 256; keepalive_requests 10000000; }
  server { listen 127.0.0.1:${port} backlog=4096; location / { proxy_pass http://mock; proxy_http_version 1.1;
    proxy_set_header Connection ""; proxy_buffering off; proxy_read_timeout 120s; } location /health { return 200; } } }
`;
  writeFileSync(join(folder, "nginx.conf"), config);
  const command = ["nginx", "-c", join(folder, "nginx.conf"), "-p", folder];
  return startServer({ command, port, healthPath: "/health" });
}

export async function startPortkey(): Promise<Server> {
  const program = join(REFERENCES, "node_modules/@portkey-ai/gateway/build/start-server.js");
  if (!existsSync(program)) {
    const install = spawnSync("npm", ["ci", "--ignore-scripts"], { cwd: REFERENCES, encoding: "utf8" });
    if (install.status !== 0) throw new Error(`npm ci in bench/references failed: ${install.stderr}`);
  }
  const port = await freePort();
  const env = { TRUSTED_CUSTOM_HOSTS: "localhost,127.0.0.1", NODE_ENV: "production" };
  const command = [NODE, program, `--port=${port}`, "--headless"];
  return startServer({ command, port, healthPath: "/", env });
}
