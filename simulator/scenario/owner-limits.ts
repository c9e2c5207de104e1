/** What the owners of simulated lights accept, unless a scenario's group says otherwise. */

/** Largest single purchase, atomic units. */
export const QUANTUM_MAX_ATOMIC = 100_000;
/** Most that one light may sign in a UTC day, atomic units. */
export const DAILY_BUDGET_ATOMIC = 50_000_000;
