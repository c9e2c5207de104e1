/**
 * The dashboard's files: page and style as they are, the script translated once from its TypeScript.
 *
 * Promise: nothing is built when the gateway is installed and nothing is fetched from elsewhere when it is
 * opened. esbuild is there anyway (tsx runs the gateway with it); one bundle takes it some 50 ms, once,
 * when the first page is asked for.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

export interface PageFiles {
  readonly index: string;
  readonly style: string;
  readonly login: string;
  readonly loginFailed: string;
  script(): Promise<string>;
}

const PAGE = fileURLToPath(new URL("../dashboard", import.meta.url));

export function dashboardFiles(): PageFiles {
  const read = (name: string) => readFileSync(`${PAGE}/${name}`, "utf8");
  const login = read("login.html");
  let script: Promise<string> | null = null;
  return {
    index: read("index.html"),
    style:
      readFileSync(fileURLToPath(import.meta.resolve("uplot/dist/uPlot.min.css")), "utf8") +
      read("style.css"),
    login: login.replace("{failed}", ""),
    loginFailed: login.replace(
      "{failed}",
      "This is not the token. It is in the file named by http.tokenFile.",
    ),
    script() {
      script ??= bundle();
      return script;
    },
  };
}

async function bundle(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [`${PAGE}/main.ts`],
    bundle: true,
    write: false,
    minify: true,
    format: "esm",
    target: "es2022",
    legalComments: "inline",
    logLevel: "silent",
  });
  return outputFiles[0]!.text;
}
