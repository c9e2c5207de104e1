// The utility is killed without warning, again and again, while it sells.

import { promisesDurability } from "./killed.ts";

promisesDurability({ meter: 30, official: 10 }, 600_000);
