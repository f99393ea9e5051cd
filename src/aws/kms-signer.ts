// Checkpoints that a key in AWS KMS signs (ECC_NIST_EDWARDS25519): the same note and the same
// signature as with a key file, and nobody can copy the key.

import { GetPublicKeyCommand, KMSClient, SignCommand } from '@aws-sdk/client-kms';
import { keyIdOf, rawPublicKey, type Signer, verifierKeyOf } from '../audit/checkpoint.ts';
import { Failure } from '../rotation/failure.ts';
import type { Clock } from '../rotation/ports.ts';
import { clientSettings, createAwsCall, serviceWith } from './call.ts';

const service = serviceWith('audit-unavailable', { name: 'KMS', prefix: 'kms' });

export type KmsSignerOptions = {
  /** A key id, alias or ARN. */
  readonly keyId: string;
  /** The name of the key in notes: the origin of the log. */
  readonly name: string;
  readonly region?: string | undefined;
  readonly requestTimeoutMs: number;
  readonly clock: Clock;
};

/**
 * Reads the public key. Throws `audit-unavailable` when the key cannot be used or is no Ed25519
 * key.
 */
export async function openKmsSigner(options: KmsSignerOptions): Promise<Signer> {
  const { keyId: KeyId, name, region, requestTimeoutMs, clock } = options;
  const client = new KMSClient(clientSettings(requestTimeoutMs, region));
  const call = createAwsCall(service, { requestTimeoutMs, maxAttempts: 3, clock });
  const key = { subject: `audit.kmsKeyId ${KeyId}`, resource: KeyId };
  const { PublicKey } = await call({
    ...key,
    action: 'GetPublicKey',
    send: (request) => client.send(new GetPublicKeyCommand({ KeyId }), request),
  });
  const publicKey = rawPublicKey(PublicKey ?? Buffer.alloc(0));
  if (publicKey === null)
    throw new Failure(
      'audit-unavailable',
      `${key.subject} is no Ed25519 key; its KeySpec must be ECC_NIST_EDWARDS25519`,
      { cause: 'kms-key', permission: 'kms:GetPublicKey and kms:Sign', resource: KeyId },
    );
  return {
    name,
    keyId: keyIdOf(name, publicKey),
    verifierKey: verifierKeyOf(name, publicKey),
    async sign(bytes) {
      // Pure Ed25519 over these bytes. KMS accepts up to 4096, and a checkpoint has about 100.
      const input = {
        KeyId,
        Message: bytes,
        MessageType: 'RAW' as const,
        SigningAlgorithm: 'ED25519_SHA_512' as const,
      };
      const { Signature } = await call({
        ...key,
        action: 'Sign',
        send: (request) => client.send(new SignCommand(input), request),
      });
      if (Signature?.length !== 64)
        throw new Failure('audit-unavailable', `${key.subject} returned no Ed25519 signature`);
      return Signature;
    },
  };
}
