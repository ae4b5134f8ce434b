/**
 * Values that come and go all the time, by their names, in the order in which they came.
 *
 * A Map leaves behind each table that it has outgrown, with a pointer to the next one. Once one of them is in V8's old generation, those after
 * it count as used until that is collected, and so does everything that was ever in them: of a server's tasks none died young, and
 * moving them to the old generation took more than placing them. Here tables have names and places alone, and values are in an array.
 */
export class InFlight<Name extends string | number, Value extends object> {
  readonly #places = new Map<Name, number>();
  /** undefined: the place is free. */
  readonly #values: (Value | undefined)[] = [];
  readonly #free: number[] = [];

  get size(): number {
    return this.#places.size;
  }

  has(name: Name): boolean {
    return this.#places.has(name);
  }

  get(name: Name): Value | undefined {
    const place = this.#places.get(name);
    return place === undefined ? undefined : this.#values[place];
  }

  set(name: Name, value: Value): void {
    let place = this.#places.get(name);
    if (place === undefined) {
      place = this.#free.pop() ?? this.#values.length;
      this.#places.set(name, place);
    }
    this.#values[place] = value;
  }

  /** @returns whether it was there */
  delete(name: Name): boolean {
    const place = this.#places.get(name);
    if (place === undefined) return false;
    this.#places.delete(name);
    this.#values[place] = undefined;
    this.#free.push(place);
    // After a flood, its places go too.
    if (this.#places.size === 0 && this.#values.length > MANY) this.clear();
    return true;
  }

  clear(): void {
    this.#places.clear();
    this.#values.length = 0;
    this.#free.length = 0;
  }

  names(): MapIterator<Name> {
    return this.#places.keys();
  }

  *values(): Generator<Value> {
    for (const place of this.#places.values()) yield this.#values[place]!;
  }
}

/**
 * Takes an item out of a list, in which the others stay in their order. `splice` would make a list of what it takes out, and `copyWithin` is
 * many times slower.
 * @returns whether it was there
 */
export function takeOut<Item>(list: Item[], item: Item): boolean {
  const place = list.indexOf(item);
  if (place === -1) return false;
  for (let next = place + 1; next < list.length; next++) list[next - 1] = list[next]!;
  list.pop();
  return true;
}

/** Places that are kept while nothing is there. */
const MANY = 1024;
