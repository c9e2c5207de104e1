// A PostgreSQL of Debian's in a temporary directory, as the tests start and kill it. It refuses to run as
// root, so it runs as the package's own user then.

import { execFileSync, spawnSync } from "node:child_process";
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";

const PASSWORD = "correct horse battery staple";

export interface Postgres {
  /** Without the password. */
  readonly url: string;
  readonly password: string;
  /** Queries as the server's own user. */
  query(sql: string): Promise<readonly Record<string, unknown>[]>;
  /** "immediate" is a power cut: nothing is written, the next start recovers from the log. */
  restart(mode: "immediate" | "fast"): void;
  stop(): void;
}

export async function startPostgres(): Promise<Postgres> {
  const programs = programsFolder();
  const directory = mkdtempSync(join(tmpdir(), "watt402-postgres-"));
  const passwordFile = join(directory, "password");
  writeFileSync(passwordFile, PASSWORD, { mode: 0o600 });
  const isRoot = process.getuid?.() === 0;
  if (isRoot) {
    const uid = Number(execFileSync("id", ["-u", "postgres"], { encoding: "utf8" }));
    chownSync(directory, uid, uid);
    chownSync(passwordFile, uid, uid);
  }
  const run = (program: string, ...args: string[]) => {
    const path = join(programs, program);
    const [command, all] = isRoot
      ? ["setpriv", ["--reuid=postgres", "--regid=postgres", "--clear-groups", path, ...args]]
      : [path, args];
    // The server outlives its starter: it must not hold the starter's output open.
    const ended = spawnSync(command!, all as string[], { stdio: "ignore", cwd: directory });
    if (ended.status !== 0) throw new Error(`${program} ${args[0]}: exit code ${ended.status}`);
  };
  const data = join(directory, "data");
  const port = await freePort();
  run(
    "initdb",
    "-D",
    data,
    "-U",
    "watt402",
    "--auth=scram-sha-256",
    `--pwfile=${passwordFile}`,
    "-E",
    "UTF8",
  );
  const settings = `-p ${port} -k ${directory} -c listen_addresses=127.0.0.1`;
  const log = join(directory, "log");
  run("pg_ctl", "start", "-w", "-D", data, "-l", log, "-o", settings);
  const url = `postgres://watt402@127.0.0.1:${port}/postgres`;
  return {
    url,
    password: PASSWORD,
    async query(sql) {
      const client = new pg.Client({
        host: "127.0.0.1",
        port,
        user: "watt402",
        password: PASSWORD,
        database: "postgres",
      });
      await client.connect();
      try {
        return (await client.query<Record<string, unknown>>(sql)).rows;
      } finally {
        await client.end();
      }
    },
    restart: (mode) => run("pg_ctl", "restart", "-w", "-m", mode, "-D", data, "-l", log, "-o", settings),
    stop() {
      run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", data);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Debian keeps a folder for each major version. */
function programsFolder(): string {
  const base = "/usr/lib/postgresql";
  const versions = existsSync(base) ? readdirSync(base).sort((a, b) => Number(b) - Number(a)) : [];
  if (versions.length === 0)
    throw new Error(`expected Debian's package postgresql below ${base}, found none`);
  return join(base, versions[0]!, "bin");
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
