/**
 * A city drawn from a seed: avenues and side streets, lamps along them, what they are and when they shine.
 *
 * Promise: the same seed, number and place give the same city; the lights nearest to the middle come
 * first, so that a smaller city is the middle of a larger one.
 */
import { Watt402Error } from "#payment/watt402-error";
import type { City, CityLight, RoadClass } from "./city.ts";
import { type Draw, drawAt, seededRandom } from "./random.ts";
import { drawFitting, drawRoad, ROADS, type RoadFitting } from "./roads.ts";
import { StreetNames } from "./street-names.ts";
import { nauticalZone } from "./sun.ts";

export interface CityRequest {
  /** 1..MAX_CITY_LIGHTS */
  readonly lights: number;
  /** Any integer. */
  readonly seed: number;
  /** WGS 84 degrees; Berlin when absent. */
  readonly place?: { readonly latitude: number; readonly longitude: number; readonly timeZone?: string };
}

export const MAX_CITY_LIGHTS = 2_000_000;

const BERLIN = { latitude: 52.52, longitude: 13.405, timeZone: "Europe/Berlin" };

/** Between two parallel streets, metres. */
const BLOCK_METRES = 72;
/** Every so many blocks a street is a wider one, every so many an avenue; both two blocks off the middle. */
const SECONDARY_EVERY = 4;
const MAIN_EVERY = 12;
const WIDE_FROM = 2;
/** How far a street sways from its line, and over which length, metres. */
const SWAY_METRES = 14;
const SWAY_LENGTH_METRES = 420;
const METRES_PER_DEGREE = 111_320;
/** Lights on one cabinet. */
const FEEDER_LIGHTS = 40;

interface Spot {
  readonly x: number;
  readonly y: number;
  readonly roadClass: RoadClass;
  /** Which line of which direction: one street. */
  readonly line: number;
  readonly across: boolean;
}

/** Throws on a number of lights or a place out of range. */
export function generateCity({ lights, seed, place = BERLIN }: CityRequest): City {
  checkRequest(lights, place.latitude, place.longitude);
  const random = seededRandom(seed);
  const angle = random() * Math.PI;
  const names = new StreetNames(random);
  const timeZone = place.timeZone ?? nauticalZone(place.longitude);
  const spots = nearestSpots(lights, random);
  const onStreet = new Map<string, number>();
  const roads = new Map<string, RoadFitting>();
  const made = spots.map((spot, index): CityLight => {
    const street = names.of(spot.roadClass, `${spot.across ? "a" : "b"}${spot.line}`);
    const nth = onStreet.get(street) ?? 0;
    onStreet.set(street, nth + 1);
    const road = roads.get(street) ?? drawRoad(spot.roadClass, random);
    roads.set(street, road);
    return {
      name: `light-${index + 1}`,
      street,
      feeder: feederName(street, nth),
      roadClass: spot.roadClass,
      ...placeOf(spot, angle, place),
      ...drawFitting(road, random),
    };
  });
  return { name: `city ${seed}`, seed, ...place, timeZone, lights: made };
}

/** The cabinet of a street's nth light. */
export function feederName(street: string, nth: number): string {
  return nth < FEEDER_LIGHTS ? street : `${street}, cabinet ${1 + Math.floor(nth / FEEDER_LIGHTS)}`;
}

function checkRequest(lights: number, latitude: number, longitude: number): void {
  if (!Number.isInteger(lights) || lights < 1 || lights > MAX_CITY_LIGHTS) {
    throw new Watt402Error("value-invalid", `city: expected 1 to ${MAX_CITY_LIGHTS} lights, found ${lights}`);
  }
  if (!(Math.abs(latitude) <= 90 && Math.abs(longitude) <= 180)) {
    throw new Watt402Error(
      "file-invalid",
      `city: expected a latitude in -90..90 and a longitude in -180..180, found ${latitude}, ${longitude}`,
    );
  }
}

/** The spots nearest to the middle, nearest first. */
function nearestSpots(lights: number, random: Draw): Spot[] {
  const swaySeed = Math.floor(random() * 2 ** 32);
  // Lamps on a square kilometre: 1000 / 72 streets each way, a lamp every 30 m or so.
  let half = Math.sqrt(lights * BLOCK_METRES * 15) / 2 + BLOCK_METRES;
  for (;;) {
    const inside = spotsWithin(half, swaySeed).filter(({ x, y }) => Math.hypot(x, y) <= half);
    if (inside.length >= lights) {
      const byDistance = inside.map((spot) => ({ spot, metres: Math.hypot(spot.x, spot.y) }));
      byDistance.sort((left, right) => left.metres - right.metres);
      return byDistance.slice(0, lights).map(({ spot }) => spot);
    }
    half *= 1.2;
  }
}

/** All the lamps of the streets through a square of this half side around the middle, metres. */
function spotsWithin(half: number, swaySeed: number): Spot[] {
  const spots: Spot[] = [];
  const lines = Math.ceil(half / BLOCK_METRES);
  for (const across of [false, true]) {
    for (let line = -lines; line <= lines; line++) {
      const roadClass = classOfLine(line);
      const { spacingMetres, bothSides, kerbMetres } = ROADS[roadClass];
      const phase = 2 * Math.PI * drawAt(swaySeed, 2 * line + (across ? 1 : 0));
      const step = bothSides ? spacingMetres / 2 : spacingMetres;
      const offset = step * drawAt(swaySeed + 1, 2 * line + (across ? 1 : 0));
      const count = Math.ceil(half / step);
      for (let nth = -count; nth <= count; nth++) {
        const along = offset + nth * step;
        const side = bothSides && nth % 2 !== 0 ? -1 : 1;
        const sway = SWAY_METRES * Math.sin((2 * Math.PI * along) / SWAY_LENGTH_METRES + phase);
        const beside = (line - 0.5) * BLOCK_METRES + sway + side * kerbMetres;
        spots.push({ x: across ? along : beside, y: across ? beside : along, roadClass, line, across });
      }
    }
  }
  return spots;
}

function classOfLine(line: number): RoadClass {
  const blocks = line - WIDE_FROM;
  if (blocks % MAIN_EVERY === 0) return "main";
  return blocks % SECONDARY_EVERY === 0 ? "secondary" : "residential";
}

function placeOf(
  { x, y }: Spot,
  angle: number,
  middle: { readonly latitude: number; readonly longitude: number },
): { latitude: number; longitude: number } {
  const east = x * Math.cos(angle) - y * Math.sin(angle);
  const north = x * Math.sin(angle) + y * Math.cos(angle);
  const latitude = Math.max(-90, Math.min(90, middle.latitude + north / METRES_PER_DEGREE));
  // At the poles a degree of longitude has no width.
  const width = METRES_PER_DEGREE * Math.max(0.01, Math.cos((latitude * Math.PI) / 180));
  const turned = middle.longitude + east / width;
  const longitude = turned - 360 * Math.round(turned / 360);
  return { latitude: degrees(latitude), longitude: degrees(longitude) };
}

/** To a tenth of a metre. */
function degrees(value: number): number {
  return Math.round(value * 1e6) / 1e6;
}
