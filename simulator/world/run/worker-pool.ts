/**
 * Workers that share out the jobs of a run.
 *
 * Promise: results come back by job, whichever worker did them and however many there are; a stop lets no further
 * job begin, and what was finished is kept.
 */
import { Worker } from "node:worker_threads";
import type { Job, JobResult } from "./world-worker.ts";

interface WorkerPool {
  /**
   * Does the jobs in order; resolves with one result for each that was finished, in the jobs' order.
   * @param done called with each result as it comes, and how many there are by then
   */
  work(
    jobs: readonly Job[],
    done: (finished: number, result: JobResult) => void,
  ): Promise<(JobResult | null)[]>;
  /** No further job begins, and those under way are given up. */
  stop(): void;
}

/** @param workers how many jobs at once, at least 1 */
export function openWorkerPool(workers: number): WorkerPool {
  let isStopped = false;
  let leave = () => {};
  const left = new Promise<void>((resolve) => {
    leave = resolve;
  });
  return {
    async work(jobs, done) {
      const results: (JobResult | null)[] = jobs.map(() => null);
      let next = 0;
      let finished = 0;
      const hands = Array.from({ length: Math.min(workers, jobs.length) }, async () => {
        const worker = new Worker(new URL("./world-worker.mjs", import.meta.url));
        try {
          while (!isStopped && next < jobs.length) {
            const index = next++;
            const result = await Promise.race([answerOf(worker, jobs[index]!), left.then(() => null)]);
            results[index] = result;
            if (result !== null) done(++finished, result);
          }
        } finally {
          await worker.terminate();
        }
      });
      await Promise.all(hands);
      return results;
    },
    stop() {
      isStopped = true;
      leave();
    },
  };
}

function answerOf(worker: Worker, job: Job): Promise<JobResult> {
  return new Promise((resolve, reject) => {
    const settle = () => {
      worker.off("message", taken);
      worker.off("error", failed);
    };
    const taken = (result: JobResult) => {
      settle();
      resolve(result);
    };
    const failed = (error: Error) => {
      settle();
      reject(error);
    };
    worker.on("message", taken);
    worker.on("error", failed);
    worker.postMessage(job);
  });
}
