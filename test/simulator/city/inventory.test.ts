import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it, vi } from "vitest";
import { readMapping } from "#simulator/city/columns";
import { readCsv } from "#simulator/city/csv";
import { cityFromCsv, cityFromGeoJson } from "#simulator/city/inventory";
import { openCity } from "#simulator/city/open-city";
import { runCity } from "#simulator/city/run-city";

const csv = (text: string, mapping = {}) => cityFromCsv(text, { file: "lights.csv", mapping, seed: 1 });
const geo = (document: unknown, mapping = {}) =>
  cityFromGeoJson(JSON.stringify(document), { file: "lights.geojson", mapping, seed: 1 });
const point = (coordinates: unknown, properties: unknown = {}) => ({
  type: "Feature",
  geometry: { type: "Point", coordinates },
  properties,
});
const collection = (...features: unknown[]) => ({ type: "FeatureCollection", features });

describe("an inventory in CSV", () => {
  it("is read with the columns that inventories usually have", () => {
    const { lights, timeZone } = csv(
      'OBJECTID,LAT,LON,WATTAGE1,STREETNAME\n7,52.5,13.4,60,"Unter den Linden, Nord"\n8,52.6,13.5,100 W,Ring\n',
    );
    expect(
      lights.map(({ name, street, lamp, roadClass }) => [name, street, lamp.ratedMilliwatts, roadClass]),
    ).toEqual(
      expect.arrayContaining([
        ["7", "Unter den Linden, Nord", 60_000, "secondary"],
        ["8", "Ring", 100_000, "main"],
      ]),
    );
    expect(timeZone).toBe("Etc/GMT-1");
  });

  it("is read with columns given by name, from semicolons and with a byte order mark", () => {
    const mapping = readMapping("latitude=Breite,longitude=Länge,watts=P,name=Nr");
    const { lights } = csv("\uFEFFNr;Breite;Länge;P\r\nA1;47.37;8.54;36\r\nA2;47.38;8.55;\r\n", mapping);
    expect(lights.map(({ name }) => name).toSorted()).toEqual(["A1", "A2"]);
    expect(lights.find(({ name }) => name === "A1")!.lamp.ratedMilliwatts).toBe(36_000);
    // A wattage that is not given is drawn.
    expect(lights.find(({ name }) => name === "A2")!.lamp.ratedMilliwatts).toBeGreaterThanOrEqual(30_000);
  });

  it.each([
    [
      "lat,lon\n52,13\n91,13\n",
      'lights.csv line 3, column "lat": expected a latitude in degrees (WGS 84), -90..90, found "91"',
    ],
    [
      "lat,lon\n52,\n",
      'lights.csv line 2, column "lon": expected a longitude in degrees (WGS 84), -180..180, found ""',
    ],
    [
      "lat,lon,watts\n52,13,6OW\n",
      'lights.csv line 2, column "watts": expected a power in watts, above 0 to 2000, found "6OW"',
    ],
    ["lat,lon\n52,13,9\n", "lights.csv line 2: expected 2 fields as in the header, found 3"],
    [
      'lat,lon,street\n52,13,"a\nb"\n52,13,"open\n',
      "lights.csv line 4: expected a closing quote, found the end of the file",
    ],
    [
      'lat,lon,street\r\n52,13,"a\r\n\r\nb"\r\n\r\n"52"x,13,c\r\n',
      'lights.csv line 6, column "lat": expected a latitude in degrees (WGS 84), -90..90, found "\\"52\\"x"',
    ],
    [
      "id,lat,lon\n1,52,13\n1,52,13\n",
      'lights.csv line 3, column "id": expected a name of its own, found "1" as on line 2',
    ],
    [
      "north,lon\n52,13\n",
      "lights.csv line 1: expected a column for latitude (latitude, lat, y, ycoord), found north, lon; name it by --columns latitude=COLUMN",
    ],
    ["lat,lon\n", "lights.csv: expected at least one light, found none"],
    [
      "hello\n",
      'lights.csv line 1: expected a header of columns separated by comma, semicolon or tab, found "hello"',
    ],
  ])("that is wrong is refused with its place: %j", (text, complaint) => {
    expect(() => csv(text)).toThrow(complaint);
  });

  it("lists the columns there are when a named one is missing", () => {
    expect(() => csv("lat,lon,w\n1,2,3\n", { watts: "Watt" })).toThrow(
      'lights.csv line 1: expected a column "Watt" for watts, found lat, lon, w',
    );
  });

  it("reads a quote within a field as it is, and lines that end in any way", () => {
    const { rows } = readCsv('a,b\r1,5" pipe\n\n2,c\r\n', "x");
    expect(rows).toEqual([
      { line: 2, fields: ["1", '5" pipe'] },
      { line: 4, fields: ["2", "c"] },
    ]);
  });

  it("keeps every field through quoting, whatever is in it", () => {
    const field = fc.string({ unit: fc.constantFrom("a", ",", ";", '"', "\n", "\r\n", " ", "é") });
    fc.assert(
      fc.property(fc.array(fc.tuple(field, field), { minLength: 1, maxLength: 5 }), (rows) => {
        const quote = (text: string) => `"${text.replaceAll('"', '""')}"`;
        const text = ["h1,h2", ...rows.map((row) => row.map(quote).join(","))].join("\n");
        const read = readCsv(text, "x").rows;
        const breaks = (one: string) => one.replace(/\r\n?/g, "\n");
        expect(read.map(({ fields }) => fields)).toEqual(rows.map((row) => row.map(breaks)));
        // Each row begins where the one before it ended.
        let line = 2;
        for (const { line: begun, fields } of read) {
          expect(begun).toBe(line);
          line += 1 + fields.join("").split("\n").length - 1;
        }
      }),
    );
  });
});

describe("an inventory in GeoJSON", () => {
  it("is read by longitude, latitude and properties", () => {
    const { lights } = geo(
      collection(point([13.4, 52.5], { id: 3, wattage: 40 }), point([13.5, 52.6, 34], { id: 4 })),
    );
    const third = lights.find(({ name }) => name === "3")!;
    expect([third.latitude, third.longitude, third.lamp.ratedMilliwatts]).toEqual([52.5, 13.4, 40_000]);
  });

  it.each([
    [{ type: "Feature" }, 'lights.geojson: member "type": Invalid input: expected "FeatureCollection"'],
    [
      collection(point([1, 2]), { type: "Feature", geometry: { type: "LineString", coordinates: [] } }),
      'lights.geojson feature 2: member "geometry.type": Invalid input: expected "Point"',
    ],
    [
      collection(point(["x", 2])),
      'lights.geojson feature 1: member "geometry.coordinates.0": Invalid input: expected number, received string',
    ],
    [
      collection(point([13, 152])),
      'lights.geojson feature 1, column "coordinates[1]": expected a latitude in degrees (WGS 84), -90..90, found "152"',
    ],
    [
      collection(point([13, 52], { power: "strong" })),
      'lights.geojson feature 1, column "power": expected a power in watts, above 0 to 2000, found "strong"',
    ],
    [
      {
        ...collection(point([1, 2])),
        crs: { type: "name", properties: { name: "urn:ogc:def:crs:EPSG::2056" } },
      },
      'lights.geojson, member "crs": expected WGS 84 (CRS84), found "urn:ogc:def:crs:EPSG::2056"; transform it first',
    ],
  ])("that is wrong is refused with its feature and member: %#", (document, complaint) => {
    expect(() => geo(document)).toThrow(complaint);
  });

  it("that is no JSON is refused", () => {
    expect(() => cityFromGeoJson("<kml>", { file: "a.json", mapping: {}, seed: 1 })).toThrow(
      /^a.json: expected GeoJSON, found /,
    );
  });
});

describe("--columns", () => {
  it("takes pairs of kind and column, and nothing else", () => {
    expect(readMapping("latitude=Y COORD, watts=a=b")).toEqual({ latitude: "Y COORD", watts: "a=b" });
    for (const wrong of ["", "latitude", "height=H", "watts="]) {
      expect(() => readMapping(wrong)).toThrow(/expected KIND=COLUMN with one of name, latitude/);
    }
  });
});

describe("--city", () => {
  const home = mkdtempSync(join(tmpdir(), "watt402-city-"));
  afterAll(() => rmSync(home, { recursive: true }));
  const source = { seed: 1, lights: 2, mapping: {} };

  it("draws from digits, and from --seed without it", () => {
    expect(openCity({ ...source, city: "7" }).seed).toBe(7);
    expect(openCity({ ...source, city: null }).seed).toBe(1);
  });

  it("takes the lights nearest to the middle of a file", () => {
    const file = join(home, "lights.csv");
    writeFileSync(file, "id,lat,lon\nfar,52.9,13.4\nnear,52.5,13.4\nmiddle,52.51,13.4\n");
    expect(openCity({ ...source, city: file }).lights.map(({ name }) => name)).toEqual(["middle", "near"]);
  });

  it("reads what the command city wrote, wherever it lies", async () => {
    const file = join(home, "drawn.geojson");
    const args = ["--lights", "30", "--seed", "5", "--latitude", "-33.9", "--longitude", "151.2"];
    const said: string[] = [];
    const write = (text: string | Uint8Array, done?: unknown) => {
      said.push(String(text));
      if (typeof done === "function") done();
      return true;
    };
    const stdout = vi.spyOn(process.stdout, "write").mockImplementation(write);
    const code = await runCity(args).finally(() => stdout.mockRestore());
    expect(code).toBe(0);
    writeFileSync(file, said.join(""));
    const city = openCity({ ...source, city: file, lights: 100 });
    expect(city.lights).toHaveLength(30);
    expect(city.latitude).toBeCloseTo(-33.9, 2);
    expect(city.timeZone).toBe("Etc/GMT-10");
  });

  it("says what is no city", () => {
    expect(() => openCity({ ...source, city: join(home, "none.csv") })).toThrow(/found no file$/);
    const file = join(home, "lights.shp");
    writeFileSync(file, "x");
    expect(() => openCity({ ...source, city: file })).toThrow(/found "\.shp"$/);
  });
});
