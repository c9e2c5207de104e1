/**
 * Names for the streets of a drawn city: trees for the lanes, people of electricity for the wide ones.
 *
 * Promise: one street, one name; no two streets share one.
 */
import type { RoadClass } from "./city.ts";
import type { Draw } from "./random.ts";

const TREES = [
  ...["Acacia", "Alder", "Apple", "Ash", "Aspen", "Beech", "Birch", "Cedar", "Cherry", "Chestnut"],
  ...["Cypress", "Elder", "Elm", "Fir", "Hawthorn", "Hazel", "Holly", "Hornbeam", "Juniper", "Larch"],
  ...["Laurel", "Linden", "Maple", "Mulberry", "Oak", "Olive", "Pear", "Pine", "Plane", "Plum"],
  ...["Poplar", "Rowan", "Spruce", "Sycamore", "Walnut", "Willow", "Yew"],
];
const PEOPLE = [
  ...["Ampère", "Ayrton", "Coulomb", "Curie", "Davy", "Edison", "Faraday", "Franklin", "Galvani"],
  ...["Gauss", "Henry", "Hertz", "Joule", "Kelvin", "Kirchhoff", "Latimer", "Lenz", "Maxwell", "Noether"],
  ...["Ohm", "Ørsted", "Siemens", "Steinmetz", "Swan", "Tesla", "Volta", "Watt", "Weber"],
];
const ENDINGS: Readonly<Record<RoadClass, readonly string[]>> = {
  residential: ["Street", "Lane", "Row", "Close"],
  secondary: ["Road"],
  main: ["Avenue"],
};

export class StreetNames {
  private readonly draw: Draw;
  private readonly given = new Map<string, string>();
  private readonly taken = new Set<string>();

  constructor(draw: Draw) {
    this.draw = draw;
  }

  /** @param street what the street is known by: the same one, the same name */
  of(roadClass: RoadClass, street: string): string {
    const known = this.given.get(street);
    if (known !== undefined) return known;
    const words = roadClass === "residential" ? TREES : PEOPLE;
    const endings = ENDINGS[roadClass];
    const first = words[Math.floor(this.draw() * words.length)]!;
    const base = `${first} ${endings[Math.floor(this.draw() * endings.length)]!}`;
    let name = base;
    for (let nth = 2; this.taken.has(name); nth++) name = `${base} ${nth}`;
    this.taken.add(name);
    this.given.set(street, name);
    return name;
  }
}
