import { afterEach, describe, expect, it, vi } from "vitest";
import { answerWithin } from "#host/answer";
import { BUILT_SECONDS, systemClock, trustedSeconds } from "#node/clock";
import { hmacSha256 } from "#node/key/native-hmac";
import { BenchClock } from "./fixtures.ts";

afterEach(() => vi.useRealTimers());

describe("the system's clock", () => {
  it("believes no time before this runtime was built", () => {
    expect(trustedSeconds(0)).toBeNull();
    expect(trustedSeconds(BUILT_SECONDS * 1000 - 1)).toBeNull();
    expect(trustedSeconds(BUILT_SECONDS * 1000 + 500)).toBe(BUILT_SECONDS + 0.5);
  });

  it("never fires a timer early, and not at all once cancelled", async () => {
    const clock = systemClock();
    const wrong: number[] = [];
    const waits = Array.from({ length: 50 }, (_, i) => clock.nowMs() + 1 + i * 0.7);
    await Promise.all(
      waits.map(
        (atMs) =>
          new Promise<void>((resolve) => {
            clock.at(atMs, () => {
              if (clock.nowMs() < atMs) wrong.push(atMs);
              resolve();
            });
          }),
      ),
    );
    expect(wrong).toEqual([]);
    const cancelled = vi.fn();
    clock.at(clock.nowMs() + 5, cancelled)();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(cancelled).not.toHaveBeenCalled();
  });

  it("holds a timer longer than the platform's longest", () => {
    vi.useFakeTimers();
    const clock = systemClock();
    const woken = vi.fn();
    clock.at(clock.nowMs() + 60 * 86_400_000, woken);
    vi.advanceTimersByTime(59 * 86_400_000);
    expect(woken).not.toHaveBeenCalled();
    vi.advanceTimersByTime(86_400_000);
    expect(woken).toHaveBeenCalledTimes(1);
  });
});

describe("an answer with a limit", () => {
  it("is taken once: in the same call, later, or as late, and never after", () => {
    const clock = new BenchClock();
    const taken: string[] = [];
    const take = (answer: string) => void taken.push(answer);
    answerWithin<string>(clock, 100, "late", (done) => done("at once"), take);
    expect(taken).toEqual(["at once"]);
    expect(clock.armed).toBe(0);

    let answer: (text: string) => void = () => {};
    const keep = (done: (text: string) => void) => {
      answer = done;
    };
    answerWithin<string>(clock, 100, "late", keep, take);
    clock.advance(99);
    answer("in time");
    answer("again");
    answerWithin<string>(clock, 100, "late", keep, take);
    clock.advance(100);
    answer("too late");
    expect(taken).toEqual(["at once", "in time", "late"]);
    expect(clock.armed).toBe(0);
  });
});

describe("HMAC-SHA256", () => {
  it("gives the digest of RFC 4231's second test case", () => {
    const digest = hmacSha256(Buffer.from("Jefe"), Buffer.from("what do ya want for nothing?"));
    expect(Buffer.from(digest).toString("hex")).toBe(
      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    );
  });
});
