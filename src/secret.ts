// A value that must never be printed. It shows itself as "[secret]" to every way JavaScript has of
// turning an object into text; only `reveal()` returns the value, and it is allowed in few
// folders (biome.json).

/** A secret string, or secret bytes. What JavaScript cannot do is wipe it: see SECURITY.md. */
export class Secret<T extends string | Uint8Array = string> {
  readonly #value: T;

  constructor(value: T) {
    this.#value = value;
  }

  /** The value itself. Only for the call that hands it to the wire, to the store or to the seal. */
  reveal(): T {
    return this.#value;
  }

  get isEmpty(): boolean {
    return this.#value.length === 0;
  }

  /** Whether both hold the same value; for comparing without revealing. */
  equals(other: Secret<T>): boolean {
    const [a, b] = [this.#value, other.#value];
    if (typeof a === 'string' || typeof b === 'string') return a === b;
    return a.length === b.length && a.every((byte, index) => byte === b[index]);
  }

  toString(): string {
    return '[secret]';
  }

  toJSON(): string {
    return '[secret]';
  }

  /** What `util.inspect`, and so `console.log` and Jest, print. */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return '[secret]';
  }
}
