// AWS Secrets Manager on loopback: real HTTP in the AWS JSON 1.1 protocol, with faults by name, a
// log of what was asked, and promises to wait for instead of sleeping. Used by tests and by the
// demo; it never listens beyond 127.0.0.1.

import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { actions, type RotationFunction } from './secrets-manager-actions.ts';
import {
  type Fields,
  findSecret,
  type Quirks,
  type Service,
  ServiceError,
} from './secrets-manager-service.ts';

export type { RotationFunction, RotationStep } from './secrets-manager-actions.ts';

/**
 * What can go wrong with one request. `drop-before-commit`: the connection ends, nothing happened.
 * `drop-after-commit`: it happened, the answer is lost. `stale-labels`: a read sees the labels
 * before their newest change. `proxy-page`: a 502 with HTML. `truncated`: the answer stops halfway.
 * `silent`: no answer ever; the connection stays open.
 * `silent-after-commit`: the same, and it happened.
 */
export type Fault =
  | 'unavailable'
  | 'internal-error'
  | 'throttled'
  | 'access-denied'
  | 'kms-denied'
  | 'decryption-failure'
  | 'expired-credentials'
  | 'limit-exceeded'
  | 'drop-before-commit'
  | 'drop-after-commit'
  | 'proxy-page'
  | 'truncated'
  | 'silent'
  | 'silent-after-commit'
  | 'stale-labels';

/** One request as it was served. No value of a secret is in here. */
export type LoggedRequest = {
  readonly action: string;
  /**
   * The ARN of the secret; its SecretId where there is no such secret; `*` where the action names
   * none. For tests of IAM policies.
   */
  readonly resource: string;
  /** The input without SecretString and SecretBinary. */
  readonly input: Fields;
  /** Counts up over starts and ends: request B overlaps A when B starts before A ends. */
  readonly startedAt: number;
  /** `null` while it is being served. */
  endedAt: number | null;
  /** The HTTP status, `null` where no answer was sent. */
  status: number | null;
  error: string | null;
  fault: Fault | null;
};

export type SecretsManagerSimulatorOptions = {
  readonly region?: string;
  readonly accountId?: string;
  /** 0, the default: any free one. */
  readonly port?: number;
  /** The service's clock, UTC milliseconds; also its Date header. */
  readonly nowMs?: () => number;
  /**
   * Whether a request without an AWS signature of the last five minutes is refused (the signature
   * itself is not computed). Default true.
   */
  readonly needsSignature?: boolean;
  /** The Lambda functions RotateSecret may call, by ARN. */
  readonly rotationFunctions?: Readonly<Record<string, RotationFunction>>;
  readonly quirks?: Quirks;
};

/** A request that arrived and waits. */
export type Hold = {
  /** Resolves when a request is being held. */
  readonly arrived: Promise<void>;
  /** Lets it, and every later one, go on. */
  release(): void;
};

export type SecretsManagerSimulator = {
  /** For AWS_ENDPOINT_URL_SECRETS_MANAGER. */
  readonly url: string;
  readonly region: string;
  /** In order of arrival. */
  readonly requests: readonly LoggedRequest[];
  /** `times` requests of this action (`*`: any) meet this fault, after `after` that do not. */
  inject(action: string, fault: Fault, times?: number, after?: number): void;
  /** Forgets all faults that have not been met. */
  heal(): void;
  /** Holds the next request of this action before anything happens. */
  hold(action: string): Hold;
  /** Resolves with the first request, past or future, that has ended and matches. */
  waitFor(isWanted: (request: LoggedRequest) => boolean): Promise<LoggedRequest>;
  /** The largest number of requests that were being served at one time. */
  mostAtOnce(action?: string): number;
  /** Resolves when no rotation function runs. */
  rotationsFinished(): Promise<void>;
  /**
   * An action as the service itself does it: no HTTP, no log, no fault. Throws what the service
   * would answer.
   */
  call(action: string, input: Fields): Fields;
  /** Ends every connection, held ones too. */
  close(): Promise<void>;
};

type Plan = { readonly action: string; readonly fault: Fault; times: number; after: number };
type Waiter = {
  readonly isWanted: (request: LoggedRequest) => boolean;
  readonly found: (request: LoggedRequest) => void;
};

/** Listens when it resolves. */
export async function openSecretsManagerSimulator(
  options: SecretsManagerSimulatorOptions = {},
): Promise<SecretsManagerSimulator> {
  const {
    region = 'us-east-1',
    accountId = '111111111111',
    nowMs = Date.now,
    needsSignature = true,
    quirks = {},
  } = options;
  const service: Service = { secrets: new Map(), region, accountId, nowMs, quirks };
  const rotationFunctions = new Map(Object.entries(options.rotationFunctions ?? {}));
  const requests: LoggedRequest[] = [];
  const plans: Plan[] = [];
  const holds = new Map<string, { arrived: () => void; released: Promise<void> }>();
  const releases = new Set<() => void>();
  const rotations = new Set<Promise<void>>();
  let waiters: Waiter[] = [];
  let moment = 0;

  const run = (action: string, input: Fields, isStale: boolean): Fields => {
    const perform = actions[action];
    if (!perform)
      throw new ServiceError('UnknownOperationException', `Unknown action ${action}.`, {
        isModelled: false,
      });
    const afterwards = (work: () => Promise<void>): void => {
      const rotation: Promise<void> = Promise.resolve()
        .then(work)
        .finally(() => rotations.delete(rotation));
      rotations.add(rotation);
    };
    return perform(service, input, { isStale, rotationFunctions, afterwards });
  };

  const takeFault = (action: string): Fault | null => {
    const plan = plans.find(
      (candidate) =>
        candidate.times > 0 && (candidate.action === action || candidate.action === '*'),
    );
    if (!plan) return null;
    if (plan.after > 0) {
      plan.after -= 1;
      return null;
    }
    plan.times -= 1;
    return plan.fault;
  };

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const action = String(request.headers['x-amz-target'] ?? '').replace(/^secretsmanager\./, '');
    const input = await readInput(request);
    const logged: LoggedRequest = {
      action,
      resource: resourceOf(service, input),
      input: Object.fromEntries(
        Object.entries(input).filter(
          ([name]) => name !== 'SecretString' && name !== 'SecretBinary',
        ),
      ),
      startedAt: moment++,
      endedAt: null,
      status: null,
      error: null,
      fault: takeFault(action),
    };
    requests.push(logged);
    const hold = holds.get(action);
    if (hold) {
      holds.delete(action);
      hold.arrived();
      await hold.released;
    }
    const answer = answerOf(
      logged,
      needsSignature ? problemWithSignature(request, nowMs()) : null,
      (isStale) => run(action, input, isStale),
    );
    [logged.status, logged.error] = [send(response, answer, logged.fault, nowMs()), answer.error];
    logged.endedAt = moment++;
    const done = waiters.filter(({ isWanted }) => isWanted(logged));
    waiters = waiters.filter((waiter) => !done.includes(waiter));
    for (const { found } of done) found(logged);
  }

  const server = createServer((request, response) => {
    serve(request, response).catch((error: unknown) => {
      // A bug of the simulator: the test that met it must not hang.
      response.destroy(error instanceof Error ? error : new Error(String(error)));
    });
  });
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve, reject) =>
    server.once('error', reject).listen(options.port ?? 0, '127.0.0.1', resolve),
  );

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    region,
    requests,
    inject: (action, fault, times = 1, after = 0) => plans.push({ action, fault, times, after }),
    heal: () => plans.splice(0),
    hold(action) {
      const arrival = deferred();
      const release = deferred();
      releases.add(release.resolve);
      holds.set(action, { arrived: arrival.resolve, released: release.promise });
      return { arrived: arrival.promise, release: release.resolve };
    },
    waitFor: (isWanted) =>
      new Promise((found) => {
        const past = requests.find((request) => request.endedAt !== null && isWanted(request));
        if (past) found(past);
        else waiters.push({ isWanted, found });
      }),
    mostAtOnce: (action) =>
      mostAtOnce(action ? requests.filter((request) => request.action === action) : requests),
    async rotationsFinished() {
      while (rotations.size > 0) await Promise.all(rotations);
    },
    call: (action, input) => run(action, input, false),
    close: () => close(server, releases),
  };
}

type Answer = {
  readonly status: number;
  readonly body: string;
  readonly type: string;
  readonly error: string | null;
};

const json = 'application/x-amz-json-1.1';

/** The fault's answer, or the service's own. What is dropped or garbled on the way is `send`'s. */
function answerOf(
  { fault }: LoggedRequest,
  unsigned: ServiceError | null,
  run: (isStale: boolean) => Fields,
): Answer {
  try {
    if (unsigned) throw unsigned;
    if (fault === 'proxy-page')
      return {
        status: 502,
        body: '<html><body>Bad Gateway</body></html>',
        type: 'text/html',
        error: fault,
      };
    if (fault === 'drop-before-commit' || fault === 'silent')
      return { status: 0, body: '', type: '', error: fault };
    const error = fault === null ? undefined : faultErrors[fault];
    if (error) throw error();
    return {
      status: 200,
      body: JSON.stringify(run(fault === 'stale-labels')),
      type: json,
      error: null,
    };
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    const text = { [error.isModelled ? 'Message' : 'message']: error.message };
    return {
      status: error.status,
      body: JSON.stringify({ __type: error.code, ...text }),
      type: json,
      error: error.code,
    };
  }
}

const faultErrors: Partial<Record<Fault, () => ServiceError>> = {
  unavailable: () =>
    new ServiceError('ServiceUnavailableException', 'Service Unavailable', {
      status: 503,
      isModelled: false,
    }),
  'internal-error': () =>
    new ServiceError('InternalServiceError', 'An error occurred on the server side.', {
      status: 500,
    }),
  throttled: () => new ServiceError('ThrottlingException', 'Rate exceeded', { isModelled: false }),
  'access-denied': () =>
    new ServiceError(
      'AccessDeniedException',
      'User: arn:aws:iam::111111111111:user/x is not authorized',
      { isModelled: false },
    ),
  'kms-denied': () =>
    new ServiceError('AccessDeniedException', 'Access to KMS is not allowed', {
      isModelled: false,
    }),
  'decryption-failure': () =>
    new ServiceError(
      'DecryptionFailure',
      "Secrets Manager can't decrypt the protected secret text.",
    ),
  'expired-credentials': () =>
    new ServiceError(
      'ExpiredTokenException',
      'The security token included in the request is expired',
      { isModelled: false },
    ),
  'limit-exceeded': () =>
    new ServiceError(
      'LimitExceededException',
      'The request failed because it would exceed one of the quotas.',
    ),
};

/** Sends it, or does to it what the fault says; the status that went out, or `null`. */
function send(
  response: ServerResponse,
  answer: Answer,
  fault: Fault | null,
  nowMs: number,
): number | null {
  if (fault === 'silent' || fault === 'silent-after-commit') return null;
  if (fault === 'drop-before-commit' || fault === 'drop-after-commit') {
    response.destroy();
    return null;
  }
  const headers = {
    'Content-Type': answer.type,
    'x-amzn-RequestId': randomUUID(),
    Date: new Date(nowMs).toUTCString(),
  };
  response.sendDate = false;
  response.writeHead(answer.status, {
    ...headers,
    'Content-Length': Buffer.byteLength(answer.body),
  });
  if (fault !== 'truncated') {
    response.end(answer.body);
    return answer.status;
  }
  response.write(answer.body.slice(0, answer.body.length / 2), () => response.destroy());
  return answer.status;
}

async function readInput(request: IncomingMessage): Promise<Fields> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const value: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8') || '{}');
  return typeof value === 'object' && value !== null ? (value as Fields) : {};
}

/**
 * As the service: no signature, or one that differs by more than five minutes from its clock. The
 * signature itself is not computed.
 */
function problemWithSignature({ headers }: IncomingMessage, nowMs: number): ServiceError | null {
  if (
    !/^AWS4-HMAC-SHA256 Credential=[^/]+\/\d{8}\/[^/]+\/secretsmanager\/aws4_request,/.test(
      headers.authorization ?? '',
    )
  ) {
    return new ServiceError('MissingAuthenticationTokenException', 'Missing Authentication Token', {
      isModelled: false,
    });
  }
  const date = String(headers['x-amz-date'] ?? '').replace(
    /^(\d{4})(\d\d)(\d\dT\d\d)(\d\d)(\d\dZ)$/,
    '$1-$2-$3:$4:$5',
  );
  if (Math.abs(Date.parse(date) - nowMs) <= 300_000) return null;
  return new ServiceError(
    'InvalidSignatureException',
    `Signature expired or not yet current: ${date}`,
    { isModelled: false },
  );
}

function resourceOf(service: Service, input: Fields): string {
  const id = input['SecretId'] ?? input['Name'];
  if (id === undefined) return '*';
  try {
    return findSecret(service, id).arn;
  } catch {
    return String(id);
  }
}

function mostAtOnce(requests: readonly LoggedRequest[]): number {
  const atStart = requests.map(
    ({ startedAt }) =>
      requests.filter(
        (other) =>
          other.startedAt <= startedAt && (other.endedAt ?? Number.POSITIVE_INFINITY) > startedAt,
      ).length,
  );
  return Math.max(0, ...atStart);
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((resolvePromise) => {
    resolve = resolvePromise;
  });
  return { promise, resolve };
}

async function close(server: Server, releases: ReadonlySet<() => void>): Promise<void> {
  for (const release of releases) release();
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeAllConnections();
  await closed;
}
