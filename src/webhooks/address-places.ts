/** Places at each address, so that this server is no weapon against it. */
import { Share } from "./share.ts";
import { ownerOf } from "./site.ts";

/** Places at one address; half of them for a user that is alone. */
const MAX_AT_ADDRESS = 16;

export class AddressPlaces {
  readonly #addresses = new Map<string, Share>();

  /** Takes a place at each address, since nobody knows which one is used. @returns what gives them back; null: there is no room */
  enter(addresses: readonly string[], user: string): (() => void) | null {
    const owners = [...new Set(addresses.map(ownerOf))];
    if (owners.some((owner) => this.#addresses.get(owner)?.hasRoom(user) === false)) return null;
    for (const owner of owners) {
      const share = this.#addresses.get(owner) ?? new Share(MAX_AT_ADDRESS);
      this.#addresses.set(owner, share);
      share.take(user);
    }
    return () => {
      for (const owner of owners) {
        const share = this.#addresses.get(owner)!;
        share.giveBack(user);
        if (share.sum === 0) this.#addresses.delete(owner);
      }
    };
  }
}
