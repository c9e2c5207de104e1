// The utility is killed without warning while it sells; the long run of the same kills it more often.

import { promisesDurability } from "./killed.ts";

// Most of the time is starting the utility again.
promisesDurability({ meter: 3, official: 1 }, 180_000);
