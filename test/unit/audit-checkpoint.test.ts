// The published examples: golang.org/x/mod/sumdb/note's documentation and the C2SP signed-note and
// tlog-checkpoint pages.

import {
  checkNote,
  generateSigningKey,
  openSigningKey,
  parseCheckpoint,
  parseNote,
  parseVerifierKey,
  type Signer,
  signCheckpoint,
  signNote,
} from '../../src/audit/checkpoint.ts';
import { emptyRoot } from '../../src/audit/merkle.ts';

const published = {
  signingKey: 'PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz',
  verifierKey: 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW',
  text:
    'If you think cryptography is the answer to your problem,\n' +
    "then you don't know what your problem is.\n",
  signature:
    '— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FF' +
    'YC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n',
};

const partsOf = (note: string): NonNullable<ReturnType<typeof parseNote>> => {
  const parts = parseNote(note);
  if (!parts) throw new Error('not a note');
  return parts;
};

test('the published signed note is reproduced byte for byte, and verifies', async () => {
  const signer = openSigningKey(published.signingKey);

  const note = await signNote(published.text, [signer]);

  expect(note).toBe(`${published.text}\n${published.signature}`);
  expect(signer.verifierKey).toBe(published.verifierKey);
  expect(checkNote(partsOf(note), [parseVerifierKey(published.verifierKey)])).toBe('valid');
});

test('the example of the C2SP page verifies with its key', () => {
  const verifier = parseVerifierKey(
    'example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k',
  );
  const note =
    'This is an example message.\n\n' +
    '— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Z' +
    'tg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n';

  expect(checkNote(partsOf(note), [verifier])).toBe('valid');
  expect(checkNote(partsOf(note.replace('example message', 'exemple message')), [verifier])).toBe(
    'invalid',
  );
});

test('the example checkpoint of the C2SP page can be read', () => {
  const text =
    'example.com/behind-the-sofa\n20852163\n' +
    'CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n' +
    '— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurm' +
    'RDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n';

  expect(parseCheckpoint(text)).toMatchObject({
    origin: 'example.com/behind-the-sofa',
    size: 20852163,
  });
});

test('signatures by other keys are ignored, and that of a given key must be valid', async () => {
  const [ours, theirs] = [
    generateSigningKey('example.com/ours'),
    generateSigningKey('example.com/theirs'),
  ];
  const [signer, other] = [openSigningKey(ours.signingKey), openSigningKey(theirs.signingKey)];
  const note = partsOf(await signCheckpoint('example.com/ours', 0, emptyRoot, [signer, other]));
  const forger: Signer = { ...other, name: signer.name, keyId: signer.keyId };
  const forged = partsOf(await signCheckpoint('example.com/ours', 0, emptyRoot, [forger]));

  expect(checkNote(note, [parseVerifierKey(ours.verifierKey)])).toBe('valid');
  expect(
    checkNote(note, [parseVerifierKey(generateSigningKey('example.com/ours').verifierKey)]),
  ).toBe('unknown-key');
  expect(checkNote(forged, [parseVerifierKey(ours.verifierKey)])).toBe('invalid');
});

test('a text that is no checkpoint is rejected', async () => {
  const signer = openSigningKey(generateSigningKey('a').signingKey);
  const good = await signCheckpoint('a', 1, emptyRoot, [signer]);
  const broken = [
    '',
    good.slice(0, -1),
    good.replace('\n1\n', '\n01\n'),
    good.replace('\n1\n', '\n-1\n'),
    good.replace('\n1\n', '\n1\r\n'),
    good.replace('\n\n', '\n'),
    good.replace('— a ', '- a '),
    good.replace('=\n\n', '\n\n'),
  ];

  expect(parseCheckpoint(good)).not.toBeNull();
  expect(broken.map(parseCheckpoint)).toEqual(broken.map(() => null));
});

test('a damaged key is rejected, and the message does not contain it', () => {
  const { signingKey, verifierKey } = generateSigningKey('example.com/a');
  const damaged = signingKey.replace(/\+[0-9a-f]{8}\+/, '+00000000+');
  const refuse = (text: string): string => {
    try {
      openSigningKey(text);
      return 'accepted';
    } catch (error) {
      return String(error);
    }
  };

  expect(refuse(damaged)).toContain('does not fit the key');
  expect(refuse(damaged)).not.toContain(signingKey.slice(-20));
  expect(refuse(signingKey.slice(0, -4))).toContain('not PRIVATE+KEY');
  expect(() => parseVerifierKey(verifierKey.replace('example.com/a', 'example.com/b'))).toThrow(
    'does not fit the key',
  );
  expect(() => generateSigningKey('two words')).toThrow();
});
