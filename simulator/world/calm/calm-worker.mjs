import { register } from "tsx/esm/api";

register();
const { workerData } = await import("node:worker_threads");
const { runShare } = await import("./calm-share.ts");
runShare(workerData);
