/**
 * Carries out a scenario's stages on a world.
 *
 * Promise: what a stage does here is what it does to a fleet on real sockets: a gateway that dies takes its
 * broker with it, connections come back by each light's own back-off.
 */
import type { Draw } from "../../city/random.ts";
import type { PlayedStage } from "../../fleet/scenario-runner.ts";
import { EVERYONE, type ScenarioRunner, type Stage } from "../../scenario/actions.ts";
import type { FaultTargets } from "../actors/fault-schedule.ts";
import type { ObservedLight } from "./observed-light.ts";

/** Pauses before a light whose connection broke tries again, milliseconds. */
const RETRY_LEAST_MS = 200;
const RETRY_MOST_MS = 4000;
/** From a gateway's start to its broker's first connection. */
const GATEWAY_START_MS = 1500;

export class WorldScenarioRunner implements ScenarioRunner {
  readonly played: PlayedStage[] = [];
  private readonly parts: FaultTargets;
  private readonly lights: readonly ObservedLight[];
  private readonly groups: ReadonlyMap<string, string>;
  private readonly endings = new Map<Stage, () => void>();
  private readonly draw: Draw;

  /** @param lights in the order of the world's; @param groups of the lights that are in one, by name */
  constructor(parts: FaultTargets, lights: readonly ObservedLight[], groups: ReadonlyMap<string, string>) {
    this.parts = parts;
    this.lights = lights;
    this.groups = groups;
    this.draw = parts.world.stream("stagehand");
  }

  begin(stage: Stage): void {
    this.parts.world.note(`stage: ${stage.name}`);
    this.played.push({ stage, lights: this.carryOut(stage) });
  }

  end(stage: Stage): void {
    this.endings.get(stage)?.();
    this.endings.delete(stage);
  }

  /** Ends what is still going on. */
  finish(): void {
    for (const stage of [...this.endings.keys()]) this.end(stage);
  }

  private carryOut(stage: Stage): number {
    const { world, gateway, seller, network } = this.parts;
    const { action, durationMs } = stage;
    switch (action.kind) {
      case "drop-connections":
        return this.drop(action.group);
      case "stop-gateway":
        gateway.kill();
        network.restartBroker(durationMs + GATEWAY_START_MS, false);
        this.endings.set(stage, () => world.after(GATEWAY_START_MS, () => gateway.restart()));
        return 0;
      case "stop-seller":
        seller.kill();
        this.endings.set(stage, () => seller.start());
        return 0;
      case "price":
        // In the seller's tariff from the beginning: see scenario/prices.ts.
        return 0;
      case "cheat": {
        const members = this.membersOf(action.group).map((index) => this.lights[index]!);
        for (const light of members) light.cheat(action.cheat);
        this.endings.set(stage, () => {
          for (const light of members) light.cheat(null);
        });
        return members.length;
      }
    }
  }

  private drop(group: string): number {
    const { network, lights } = this.parts;
    const retryMs = () => RETRY_LEAST_MS + (RETRY_MOST_MS - RETRY_LEAST_MS) * this.draw();
    return this.membersOf(group).filter((index) => network.drop(lights[index]!.device, retryMs())).length;
  }

  private membersOf(group: string): number[] {
    return this.lights.flatMap(({ name }, index) =>
      group === EVERYONE || this.groups.get(name) === group ? [index] : [],
    );
  }
}
