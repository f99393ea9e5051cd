// Checkpoints signed by a key in AWS KMS (ECC_NIST_EDWARDS25519): the same note, and the same signature, as by a key file,
// but by a key that nobody can copy.

import { GetPublicKeyCommand, KMSClient, SignCommand } from '@aws-sdk/client-kms';
import { keyIdOf, type Signer } from '../audit/checkpoint.ts';
import { Failure } from '../rotation/failure.ts';
import type { Clock } from '../rotation/ports.ts';
import { type AwsCallOptions, createCaller } from './call.ts';

export type KmsSignerOptions = {
  /** A key id, alias or ARN. */
  readonly keyId: string;
  /** The key's name in notes: the log's origin. */
  readonly name: string;
  readonly region?: string;
  readonly requestTimeoutMs: number;
  readonly clock: Clock;
};

/** What stands before the 32 bytes of an Ed25519 key in DER (RFC 8410). */
const spkiPrefix = Buffer.from('302a300506032b6570032100', 'hex');

/** Asks for the public half. Throws `audit-unavailable` when the key cannot be used or is no Ed25519 key. */
export async function openKmsSigner({
  keyId: KeyId,
  name,
  region,
  requestTimeoutMs,
  clock,
}: KmsSignerOptions): Promise<Signer> {
  const client = new KMSClient({
    ...(region === undefined ? {} : { region }),
    // The tries are ours (aws-call.ts).
    maxAttempts: 1,
    requestHandler: {
      connectionTimeout: Math.min(3000, requestTimeoutMs),
      socketTimeout: requestTimeoutMs,
      httpsAgent: { keepAlive: true },
    },
  });
  const call = createCaller({ service: 'kms', place: `key ${KeyId}`, requestTimeoutMs, clock });
  const { PublicKey } = await call(
    'GetPublicKey',
    (options: AwsCallOptions) => client.send(new GetPublicKeyCommand({ KeyId }), options),
    {},
  );
  const spki = Buffer.from(PublicKey ?? []);
  if (spki.length !== 44 || !spki.subarray(0, 12).equals(spkiPrefix))
    throw new Failure(
      'audit-unavailable',
      `audit.kmsKeyId ${KeyId}: is no Ed25519 key; its KeySpec must be ECC_NIST_EDWARDS25519`,
    );
  const publicKey = spki.subarray(12);
  const keyId = keyIdOf(name, publicKey);
  const verifierKey = `${name}+${keyId.toString(16).padStart(8, '0')}+${Buffer.concat([Uint8Array.of(1), publicKey]).toString('base64')}`;
  return {
    name,
    keyId,
    verifierKey,
    async sign(bytes) {
      // Pure Ed25519 over the bytes themselves: KMS takes up to 4096 of them, a checkpoint has about 100.
      const input = {
        KeyId,
        Message: bytes,
        MessageType: 'RAW' as const,
        SigningAlgorithm: 'ED25519_SHA_512' as const,
      };
      const { Signature } = await call(
        'Sign',
        (options: AwsCallOptions) => client.send(new SignCommand(input), options),
        {},
      );
      if (Signature?.length !== 64)
        throw new Failure(
          'audit-unavailable',
          `audit.kmsKeyId ${KeyId}: gave no Ed25519 signature`,
        );
      return Signature;
    },
  };
}
