import { expect, it } from "vitest";
import { detach, failureCount } from "#core/detach";

it("detached work reports and counts its failure once", async () => {
  const before = failureCount();
  const told: unknown[] = [];
  const work = Promise.reject(new Error("no disk"));
  detach(work, (error) => told.push(error));
  detach(Promise.resolve(7), (error) => told.push(error));
  await work.catch(() => undefined);
  expect(told).toEqual([new Error("no disk")]);
  expect(failureCount()).toBe(before + 1);
});
