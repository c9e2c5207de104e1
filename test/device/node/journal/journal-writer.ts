/** Stores checkpoints one after another and says each one that is safe; made to be killed. */
import { openJournal } from "#node/journal/journal";
import { checkpointOf } from "./checkpoints.ts";

const journal = openJournal(process.argv[2]!);

function storeNext(total: number): void {
  journal.store(checkpointOf(total), (error) => {
    if (error !== null) throw new Error(error);
    process.stdout.write(`${total}\n`);
    storeNext(total + 1);
  });
}

storeNext((journal.load()?.register.total ?? 0) + 1);
