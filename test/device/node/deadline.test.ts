// Work that is waited for only so long.

import { afterEach, expect, test, vi } from "vitest";
import { within } from "#node/deadline";

afterEach(() => {
  vi.useRealTimers();
});

test("what work resolves or rejects with in time is handed on, and no timer is left", async () => {
  vi.useFakeTimers();
  await expect(within(1_000, Promise.resolve(7), () => 0)).resolves.toBe(7);
  await expect(within(1_000, Promise.reject(new Error("broken")), () => 0)).rejects.toThrow("broken");
  expect(vi.getTimerCount()).toBe(0);
});

test("when the limit comes first, what is late is answered by the caller, who may throw", async () => {
  vi.useFakeTimers();
  const never = new Promise<number>(() => undefined);
  const late = within(1_000, never, () => "late");
  const thrown = within(1_000, never, () => {
    throw new Error("nothing within 1 s");
  });
  const refused = expect(thrown).rejects.toThrow("nothing within 1 s");
  await vi.advanceTimersByTimeAsync(999);
  expect(vi.getTimerCount()).toBe(2);
  await vi.advanceTimersByTimeAsync(1);
  await expect(late).resolves.toBe("late");
  await refused;
});
