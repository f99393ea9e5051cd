// The ways to run the service: unit file, container, Kubernetes, Prometheus and Grafana, held
// against what the program really has: its timing, its metrics, its keys, its routes.

import { execFile, execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse, parseAllDocuments } from 'yaml';
import { parseConfig } from '../../src/config/load.ts';
import { failures } from '../../src/rotation/failure.ts';
import { neededForResetMs } from '../../src/rotation/state.ts';
import { openMetrics } from '../../src/telemetry/prometheus.ts';
import { testWith } from '../harness/tools.ts';

const root = join(import.meta.dirname, '../..');
const read = (path: string): string => readFileSync(join(root, 'infra', path), 'utf8');
const folder = mkdtempSync(join(tmpdir(), 'infra-run-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/**
 * What a process that has sent a reset may still need, with the defaults: the reset and its saving,
 * and the audit outcome.
 */
async function longestFarewellSeconds(): Promise<number> {
  const { thingspace } = await parseConfig({
    text: 'accounts: [{ name: a }]',
    file: 'rotator.yaml',
    folder: '/',
    env: {},
  });
  return (neededForResetMs(thingspace) + 3 * thingspace.requestTimeoutMs) / 1000;
}

const unit = read('systemd/thingspace-rotator.service');

/** The unit with a program that exists here; verify searches it. */
function unitFor(program: string): string {
  writeFileSync(join(folder, 'program'), '#!/bin/sh\n');
  chmodSync(join(folder, 'program'), 0o755);
  const path = join(folder, 'thingspace-rotator.service');
  writeFileSync(path, unit.replaceAll('/usr/local/bin/thingspace-rotator', program));
  return path;
}

testWith('systemd-analyze')('systemd takes the unit without a complaint', () => {
  const verify = (path: string) =>
    spawnSync('systemd-analyze', ['verify', '--recursive-errors=one', path], { encoding: 'utf8' });

  const good = verify(unitFor(join(folder, 'program')));
  const bad = verify(unitFor('/nowhere/thingspace-rotator'));

  expect([good.status, good.stderr]).toEqual([0, '']);
  expect(bad.status).not.toBe(0);
});

testWith('systemd-analyze')('the unit’s exposure is what its comment says', () => {
  const report = execFileSync(
    'systemd-analyze',
    ['security', '--offline=true', unitFor(join(folder, 'program'))],
    { encoding: 'utf8' },
  );

  const measured = /Overall exposure level for \S+: ([\d.]+)/.exec(report)?.[1];
  expect(/offline=true`: ([\d.]+)/.exec(unit)?.[1]).toBe(measured);
  expect(Number(measured)).toBeLessThan(2);
});

/** The commands in the comments at the top of the unit, in order. */
const recipe = [...unit.matchAll(/^# {3}(\S.*)$/gm)].map(([, line = '']) => line);

// Needs the rights to give files to another user, as `mount` does. 03af53f failed at the third of
// its lines: nothing had made the folder of the service.
testWith('systemd-analyze', 'mount')(
  'the recipe in the unit works, line by line, in an empty root',
  () => {
    const clean = join(folder, 'clean');
    const secret = join(folder, 'secret.json');
    writeFileSync(
      secret,
      '{"username":"USER","password":"old","clientId":"app","clientSecret":"app-secret"}',
    );
    let at = '/';
    const ran: string[] = [];
    for (const line of recipe) {
      if (/^(apt-get|npm|systemctl) /.test(line)) continue;
      if (line.startsWith('cd /usr/local/lib/')) at = join(root, 'infra/systemd');
      else if (line.startsWith('cd ')) at = join(clean, line.slice(3));
      else {
        const here = line
          .replace(/ (?=\/etc\/)/, ` ${clean}`)
          .replace(/^(systemd-\w+)/, `$1 --root=${clean}`)
          .replace(
            /^runuser -u thingspace-rotator -- thingspace-rotator/,
            `node ${root}/dist/cli.js`,
          )
          .replace('/root/secret.json', secret);
        const { status, stderr } = spawnSync('sh', ['-c', here], { cwd: at, encoding: 'utf8' });
        expect([line, status, status === 0 ? '' : stderr]).toEqual([line, 0, '']);
        ran.push(line.split(' ')[0] ?? '');
      }
    }

    const [, uid, gid] = /^thingspace-rotator:x:(\d+):(\d+):/m.exec(
      readFileSync(join(clean, 'etc/passwd'), 'utf8'),
    ) as RegExpExecArray;
    const state = statSync(join(clean, 'var/lib/thingspace-rotator'));
    expect([state.mode & 0o7777, String(state.uid), String(state.gid)]).toEqual([0o700, uid, gid]);
    expect(existsSync(join(clean, 'etc/systemd/system/thingspace-rotator.service'))).toBe(true);
    const [, config = ''] = /--config (\S+)/.exec(setting('ExecStart') ?? '') ?? [];
    expect(existsSync(join(clean, config))).toBe(true);
    expect(ran).toEqual([
      ...Array(3).fill('install'),
      'systemd-sysusers',
      'systemd-tmpfiles',
      ...Array(2).fill('runuser'),
    ]);
  },
);

const setting = (name: string): string | undefined =>
  new RegExp(`^${name}=(.*)$`, 'm').exec(unit)?.[1];

test('the unit lets a running reset finish, and lets the program see other processes', async () => {
  expect(Number(setting('TimeoutStopSec'))).toBeGreaterThan(await longestFarewellSeconds());
  expect(setting('Type')).toBe('notify');
  expect(Number(setting('WatchdogSec'))).toBeGreaterThan(0);
  expect(setting('ProtectProc')).toBe('default');
  expect(setting('ProcSubset')).toBe('all');
  expect(setting('ExecReload')).toContain('-HUP');
});

const dockerfile = read('Dockerfile');

test('the container does not run as root, ends on SIGTERM, and copies only what is needed', () => {
  const last = dockerfile.slice(dockerfile.lastIndexOf('\nFROM '));
  expect(/^USER (\S+)/m.exec(last)?.[1]).toBe('10001:10001');
  expect(last).toMatch(/^STOPSIGNAL SIGTERM$/m);
  // A base image that is given with its digest, and no other.
  expect([...dockerfile.matchAll(/^FROM (\S+)/gm)].map((found) => found[1])).toEqual([
    '$NODE_IMAGE',
    '$NODE_IMAGE',
  ]);
  expect(dockerfile).toMatch(/^ARG NODE_IMAGE$/m);
  const check = /^RUN (case .*)$/m.exec(dockerfile)?.[1] ?? 'exit 2';
  const checked = ['node:24', `node:24@sha256:${'0'.repeat(64)}`].map((image) =>
    spawnSync('sh', ['-c', check], { env: { NODE_IMAGE: image } }),
  );
  expect(checked.map(({ status }) => status)).toEqual([1, 0]);

  const given = read('Dockerfile.dockerignore')
    .split('\n')
    .filter((line) => line.startsWith('!'))
    .map((line) => line.slice(1));
  const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap((found) =>
    (found[1] ?? '').split(' '),
  );
  for (const path of copied)
    expect([path, existsSync(join(root, path)), given.includes(path)]).toEqual([path, true, true]);
});

test('the container’s health check says what /healthz says', async () => {
  const check = JSON.parse(
    /HEALTHCHECK[^\n]*\\\n\s*CMD (\[.*\])/.exec(dockerfile)?.[1] ?? '[]',
  ) as string[];
  let status = 200;
  const server = createServer((request, response) =>
    response.writeHead(request.url === '/healthz' ? status : 404).end(),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const script = (check[2] ?? '').replace(':9464/', `:${port}/`);
  const run = (): Promise<number> =>
    new Promise((resolve) => {
      execFile(process.execPath, ['-e', script], (error) =>
        resolve(error ? Number(error.code) : 0),
      );
    });

  const healthy = await run();
  status = 503;
  const ill = await run();
  await new Promise((resolve) => server.close(resolve));
  const gone = await run();

  expect(check.slice(0, 2)).toEqual(['node', '-e']);
  expect([healthy, ill, gone]).toEqual([0, 1, 1]);
});

type Manifest = {
  kind: string;
  metadata: { name: string };
  spec: Record<string, never>;
  data?: Record<string, string>;
};
type Pod = {
  terminationGracePeriodSeconds: number;
  securityContext: Record<string, unknown>;
  containers: Container[];
  initContainers: Container[];
  volumes: { name: string }[];
};
type Container = {
  args?: string[];
  securityContext: Record<string, unknown>;
  volumeMounts: { name: string; mountPath: string }[];
  ports?: { name: string }[];
  livenessProbe?: { httpGet: { path: string; port: string } };
  readinessProbe?: { httpGet: { path: string; port: string } };
};
const kubernetes = (file: string): Manifest[] =>
  parseAllDocuments(read(`kubernetes/${file}`), { merge: true }).map(
    (document) => document.toJS() as Manifest,
  );
const podsOf = (): Pod[] => {
  const [deployment] = kubernetes('deployment.yaml') as never as {
    spec: { template: { spec: Pod } };
  }[];
  const [job] = kubernetes('cronjob.yaml') as never as {
    spec: { jobTemplate: { spec: { template: { spec: Pod } } } };
  }[];
  return [deployment?.spec.template.spec as Pod, job?.spec.jobTemplate.spec.template.spec as Pod];
};

test('a pod has the time to finish a running reset, and only the rights it needs', async () => {
  const farewell = await longestFarewellSeconds();
  for (const pod of podsOf()) {
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(farewell);
    expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: 10001 });
    const mounted = pod.volumes.map(({ name }) => name);
    for (const container of [...pod.containers, ...pod.initContainers]) {
      expect(container.securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
      expect(mounted).toEqual(
        expect.arrayContaining(container.volumeMounts.map(({ name }) => name)),
      );
    }
  }
});

test('the Kubernetes configuration is valid, and its files are on volumes of the pod', async () => {
  const [config] = kubernetes('config.yaml');
  const text = config?.data?.['rotator.yaml'] ?? '';
  const parsed = await parseConfig({ text, file: 'rotator.yaml', folder: '/config', env: {} });
  const mounts =
    podsOf()[0]?.containers[0]?.volumeMounts.map(({ mountPath }) => `${mountPath}/`) ?? [];

  const files = [
    parsed.audit.directory,
    parsed.audit.signingKeyFile,
    parsed.receipts.directory,
    parsed.http.tokenFile,
  ];
  if (parsed.store.type === 'file') files.push(parsed.store.directory, parsed.store.identityFile);
  for (const file of files)
    expect([file, mounts.some((mount) => file?.startsWith(mount))]).toEqual([file, true]);
});

type Kustomization = { resources: string[]; patches?: { path: string }[] };

test.each(['kubernetes', 'kubernetes-aws', 'kubernetes-monitoring'])(
  'everything the kustomization of %s names is there',
  (name) => {
    const { resources, patches = [] } = parse(read(`${name}/kustomization.yaml`)) as Kustomization;

    for (const file of [...resources, ...patches.map(({ path }) => path)])
      expect([file, existsSync(join(root, 'infra', name, file))]).toEqual([file, true]);
  },
);

test('Prometheus reaches a pod that is not ready, by Service and by PodMonitor', () => {
  const [service] = kubernetes('service.yaml');
  const [deployment] = kubernetes('deployment.yaml') as never as {
    spec: { template: { metadata: { labels: object }; spec: Pod } };
  }[];
  const [monitor] = parseAllDocuments(read('kubernetes-monitoring/pod-monitor.yaml')).map(
    (document) => document.toJS(),
  );

  expect(service?.spec['publishNotReadyAddresses']).toBe(true);
  const { labels } = deployment?.spec.template.metadata ?? { labels: {} };
  expect(labels).toMatchObject(monitor.spec.selector.matchLabels);
  const ports = deployment?.spec.template.spec.containers.flatMap(({ ports = [] }) => ports);
  expect(ports?.map(({ name }) => name)).toContain(monitor.spec.podMetricsEndpoints[0].port);
});

test('the alert rules of the Prometheus operator are those of Prometheus', () => {
  const rule = parse(read('kubernetes-monitoring/prometheus-rule.yaml'));

  expect(rule.spec).toEqual(parse(read('prometheus/alerts.yaml')));
});

test('the overlay for AWS changes what the base has, and keeps nothing on a disk', async () => {
  const patch = (file: string): Manifest => parse(read(`kubernetes-aws/${file}`)) as Manifest;
  const { patches = [] } = parse(read('kubernetes-aws/kustomization.yaml')) as Kustomization;
  const text = patch('config.yaml').data?.['rotator.yaml'] ?? '';
  const config = await parseConfig({ text, file: 'rotator.yaml', folder: '/config', env: {} });
  const [account] = kubernetes('../kubernetes-aws/service-account.yaml');
  const { template } = patch('deployment.yaml').spec as never as {
    template: { spec: Record<string, unknown> };
  };
  const { spec } = template;

  for (const { path } of patches) {
    const { kind, metadata } = patch(path);
    expect(kubernetes(path)[0]).toMatchObject({ kind, metadata: { name: metadata.name } });
  }
  expect(config.store.type).toBe('secrets-manager');
  expect([config.audit.s3 && 'S3', config.audit.kmsKeyId && 'KMS']).toEqual(['S3', 'KMS']);
  expect(spec['serviceAccountName']).toBe(account?.metadata.name);
  expect(spec['volumes']).toEqual([{ name: 'data', $patch: 'delete' }]);
});

/** Every name of ours in a text, without what Prometheus adds to histograms. */
const namesIn = (text: string): string[] =>
  [
    ...new Set(
      [...text.matchAll(/thingspace_rotator_[a-z_]+/g)].map(([name]) =>
        name.replace(/_(bucket|count|sum)$/, ''),
      ),
    ),
  ].sort();
const dashboard = read('grafana/dashboard.json');
const alerts = read('prometheus/alerts.yaml');

test('alerts and dashboards speak of metrics, labels and reasons that exist', async () => {
  const metrics = await openMetrics({
    version: '0',
    clock: { nowMs: () => 0 },
    figures: () => [{ account: 'a', state: 'settled', ageDays: 1, daysLeft: 1, lastSuccessMs: 1 }],
  });
  const { text } = await metrics.expose();
  const known = [...text.matchAll(/^# TYPE (\S+)/gm)].map((found) => found[1] ?? '');

  for (const where of [alerts, dashboard, read('alarms.yaml')])
    expect(known).toEqual(expect.arrayContaining(namesIn(where)));
  const reasons = [
    ...alerts.matchAll(/reason=~?"([^"]+)"/g),
    ...read('alarms.yaml').matchAll(/Name: reason, Value: (\S+)/g),
  ].flatMap((found) => (found[1] ?? '').split('|').map((name) => name.replace(/\W+$/, '')));
  expect(reasons.length).toBeGreaterThan(3);
  expect(Object.keys(failures)).toEqual(expect.arrayContaining(reasons));
});

test('the runbook has a first step for every alert', () => {
  const runbook = readFileSync(join(root, 'docs/RUNBOOK.md'), 'utf8');

  const named = [...runbook.matchAll(/`(ThingSpace[A-Za-z]+)`/g)].map((found) => found[1]);
  const alerting = [...alerts.matchAll(/- alert: (\w+)/g)].map((found) => found[1]);

  expect([...new Set(named)].sort()).toEqual(alerting.sort());
});

test('every metric is on the dashboard, and each action required has an alert', async () => {
  const metrics = await openMetrics({
    version: '0',
    clock: { nowMs: () => 0 },
    figures: () => [],
  });
  const known = [...(await metrics.expose()).text.matchAll(/^# TYPE (thingspace_rotator_\S+)/gm)]
    .map((found) => found[1] ?? '')
    .filter((name) => !name.endsWith('build_info'));

  expect(namesIn(dashboard)).toEqual(expect.arrayContaining(known));
  const { groups } = parse(alerts) as {
    groups: { rules: { alert: string; labels: { severity: string } }[] }[];
  };
  const pages = groups.flatMap(({ rules }) =>
    rules.filter(({ labels }) => labels.severity === 'page').map(({ alert }) => alert),
  );
  expect(pages).toEqual(
    expect.arrayContaining([
      'ThingSpacePasswordLost',
      'ThingSpaceAccountStopped',
      'ThingSpacePasswordOverdue',
      'ThingSpaceRotatorMissedRun',
      'ThingSpaceAuditFails',
    ]),
  );
});

test('no panel of the Grafana dashboard lies on another', () => {
  const { panels } = JSON.parse(dashboard) as {
    panels: { gridPos: { x: number; y: number; w: number; h: number } }[];
  };
  const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
    Array.from({ length: w * h }, (_, index) => `${x + (index % w)},${y + Math.floor(index / w)}`),
  );

  expect(new Set(cells).size).toBe(cells.length);
  expect(Math.max(...panels.map(({ gridPos: { x, w } }) => x + w))).toBeLessThanOrEqual(24);
});
