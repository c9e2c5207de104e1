import { register } from "tsx/esm/api";

register();
await import("./world-worker.ts");
