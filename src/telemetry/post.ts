// One HTTP request to an address that may be a secret: it never reaches a message.

/** Why a request was not accepted, and the response if there was one. */
export type PostFailure = { readonly detail: string; readonly response?: Response };

/** Sends a request; null when it was accepted. `receiver` names it in messages. Never rejects. */
export async function post(
  receiver: string,
  target: string | URL,
  timeoutMs: number,
  { headers, ...request }: { method: string; body?: string; headers?: Record<string, string> },
): Promise<PostFailure | null> {
  try {
    // A redirect would send the request, and its signature, to an address that is not configured.
    const response = await fetch(target, {
      ...request,
      headers: { 'user-agent': 'thingspace-rotator', ...headers },
      redirect: 'error',
      signal: AbortSignal.timeout(timeoutMs),
    });
    await response.body?.cancel();
    if (response.ok) return null;
    return { detail: `the ${receiver} answered HTTP ${response.status}`, response };
  } catch (error) {
    // The message of the error is left out: it may quote the address.
    const isLate = error instanceof Error && error.name === 'TimeoutError';
    return { detail: `the ${receiver} ${isLate ? 'did not answer in time' : 'is unreachable'}` };
  }
}
