/**
 * Carries out a scenario's stages on a fleet with real sockets and real processes.
 *
 * Promise: what was done is reported as it happens, and the clock does not slow down for an outage that is meant.
 */
import type { ScenarioRunner, Stage } from "../scenario/actions.ts";
import { EVERYONE } from "../scenario/actions.ts";
import type { Services } from "../services/services.ts";
import type { FaultProxy } from "./fault-proxy.ts";
import type { Fleet } from "./fleet.ts";

interface ScenarioRunnerParts {
  readonly fleet: Pick<Fleet, "beginOutage" | "endOutage" | "cheat">;
  readonly services: Pick<Services, "interruptGateway" | "interruptSellers">;
  /** One for each group whose connections a stage breaks, EVERYONE's for lights in none of them. */
  readonly relays: ReadonlyMap<string, FaultProxy>;
  readonly say: (text: string) => void;
}

/** A stage that began, and by how many lights it was felt at that moment: 0 when it concerns programs. */
export interface PlayedStage {
  readonly stage: Stage;
  readonly lights: number;
}

export class FleetScenarioRunner implements ScenarioRunner {
  readonly played: PlayedStage[] = [];
  private readonly parts: ScenarioRunnerParts;
  private readonly endings = new Map<Stage, () => void>();
  /** Programs that are on their way up again. */
  private readonly rising: Promise<void>[] = [];

  constructor(parts: ScenarioRunnerParts) {
    this.parts = parts;
  }

  begin(stage: Stage): void {
    const lights = this.carryOut(stage);
    this.played.push({ stage, lights });
    this.parts.say(`stage: ${stage.name}${lights > 0 ? ` (${lights} lights)` : ""}`);
  }

  end(stage: Stage): void {
    this.endings.get(stage)?.();
    this.endings.delete(stage);
    if (stage.durationMs > 0) this.parts.say(`over: ${stage.name}`);
  }

  /** Ends what is still going on; resolves when every program runs again. */
  async finish(): Promise<void> {
    for (const stage of [...this.endings.keys()]) this.end(stage);
    await Promise.all(this.rising);
  }

  private carryOut(stage: Stage): number {
    const { fleet, services } = this.parts;
    const { action } = stage;
    switch (action.kind) {
      case "drop-connections":
        return this.drop(action.group);
      case "stop-gateway":
        this.outage(stage, services.interruptGateway());
        return 0;
      case "stop-seller":
        this.outage(stage, services.interruptSellers());
        return 0;
      case "price":
        // In the seller's tariff from the beginning: see scenario/prices.ts.
        return 0;
      case "cheat":
        this.endings.set(stage, () => fleet.cheat(action.group, null));
        return fleet.cheat(action.group, action.cheat);
    }
  }

  private drop(group: string): number {
    const { relays } = this.parts;
    const found = group === EVERYONE ? [...relays.values()] : [relays.get(group)!];
    return found.reduce((lights, relay) => lights + relay.drop(), 0);
  }

  private outage(stage: Stage, restart: () => Promise<void>): void {
    const { fleet } = this.parts;
    fleet.beginOutage();
    this.endings.set(stage, () => {
      const risen = restart();
      this.rising.push(risen);
      fleet.endOutage(risen);
    });
  }
}
