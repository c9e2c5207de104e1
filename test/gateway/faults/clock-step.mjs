// Loaded into a gateway before its program: on SIGUSR2 its wall clock is set a day ahead, and back with the next.

const now = Date.now;
let aheadMs = 0;
process.on("SIGUSR2", () => {
  aheadMs = aheadMs === 0 ? 86_400_000 : 0;
});
Date.now = () => now() + aheadMs;
