/** Closes what is in the list when the block of a test ends: `await using _ = closing(relays)`. */
export const closing = (opened: { close(): unknown }[]): AsyncDisposable => ({
  async [Symbol.asyncDispose]() {
    for (const one of opened.splice(0).reverse()) await one.close();
  },
});
