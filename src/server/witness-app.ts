// The HTTP interface of a witness: POST /add-checkpoint, and GET /HASH/checkpoint for monitors.

import { Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import type { Witness } from '../audit/witness.ts';
import { Failure } from '../rotation/failure.ts';

/** 63 hashes and a checkpoint with the cosignatures of many witnesses. */
const maxBodyBytes = 65_536;

/** `report`: one line about a request that failed here. */
export function createWitnessApp(witness: Witness, report: (detail: string) => void): Hono {
  const app = new Hono();
  app.post('/add-checkpoint', bodyLimit({ maxSize: maxBodyBytes }), async (c) => {
    const { status, body } = await witness.addCheckpoint(await c.req.text());
    const type = status === 409 ? 'text/x.tlog.size' : 'text/plain; charset=utf-8';
    return c.body(body, status, { 'content-type': type });
  });
  app.get('/:hash/checkpoint', async (c) => {
    const text = await witness.checkpointOf(c.req.param('hash'));
    return text === null ? c.notFound() : c.text(text);
  });
  app.notFound((c) =>
    c.text('The paths are POST /add-checkpoint and GET /SHA-256-OF-ORIGIN/checkpoint.\n', 404),
  );
  app.onError((error, c) => {
    report(error instanceof Failure ? error.message : error.name);
    return c.text('The state of the witness cannot be read or written.\n', 500);
  });
  return app;
}
