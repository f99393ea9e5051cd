// The published vectors: the Certificate Transparency reference tree (RFC 6962 as in
// transparency-dev/merkle, testonly/constants.go).

import fc from 'fast-check';
import {
  base64Of,
  consistencyRanges,
  createRangeHasher,
  emptyRoot,
  type Hash,
  hashOf,
  inclusionRanges,
  isConsistent,
  leafHash,
  leafHashInPlace,
  rootFromInclusion,
  Tree,
} from '../../src/audit/merkle.ts';

const hex = (value: Hash): string => Buffer.from(value, 'latin1').toString('hex');
const inputs = [
  '',
  '00',
  '10',
  '2021',
  '3031',
  '40414243',
  '5051525354555657',
  '606162636465666768696a6b6c6d6e6f',
];
const leaves = inputs.map((input) => leafHash(Buffer.from(input, 'hex')));
const roots = [
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
];

const treeOf = (hashes: readonly Hash[]): Tree => {
  const tree = new Tree();
  for (const leaf of hashes) tree.append(leaf);
  return tree;
};
const rangesOf = (
  hashes: readonly Hash[],
  ranges: Parameters<typeof createRangeHasher>[0],
): Hash[] => {
  const hasher = createRangeHasher(ranges);
  hashes.forEach((leaf, index) => {
    hasher.add(index, leaf);
  });
  return hasher.hashes();
};

test('the published roots of the Certificate Transparency reference tree are reproduced', () => {
  expect(roots.map((_, size) => hex(treeOf(leaves.slice(0, size)).root()))).toEqual(roots);
});

test('the published inclusion and consistency proofs are reproduced', () => {
  expect(rangesOf(leaves, inclusionRanges(0, 8)).map(hex)).toEqual([
    '96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7',
    '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
    '6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4',
  ]);
  expect(rangesOf(leaves, inclusionRanges(5, 8)).map(hex)).toEqual([
    'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
    'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
    'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  ]);
  expect(rangesOf(leaves, consistencyRanges(6, 8)).map(hex)).toEqual([
    '0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a',
    'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
    'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  ]);
  expect(rangesOf(leaves.slice(0, 5), consistencyRanges(2, 5)).map(hex)).toEqual([
    '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
    'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
  ]);
});

test('every proof of every tree up to 40 leaves is valid, and for no other tree', () => {
  const many = Array.from({ length: 40 }, (_, index) => leafHash(Buffer.from(`record ${index}`)));
  for (let size = 1; size <= many.length; size += 1) {
    const root = treeOf(many.slice(0, size)).root();
    for (let index = 0; index < size; index += 1) {
      const proof = rangesOf(many.slice(0, size), inclusionRanges(index, size));
      expect(rootFromInclusion(many[index] as Hash, index, size, proof)).toBe(root);
      expect(rootFromInclusion(leafHash(Buffer.from('forged')), index, size, proof)).not.toBe(root);
      expect(rootFromInclusion(many[index] as Hash, index, size, [...proof, root])).toBeNull();
      if (size > 1)
        expect(rootFromInclusion(many[index] as Hash, (index + 1) % size, size, proof)).not.toBe(
          root,
        );
    }
    for (let older = 0; older <= size; older += 1) {
      const olderRoot = treeOf(many.slice(0, older)).root();
      const proof =
        older === 0 || older === size
          ? []
          : rangesOf(many.slice(0, size), consistencyRanges(older, size));
      expect(isConsistent(older, olderRoot, size, root, proof)).toBe(true);
      if (older > 0)
        expect(isConsistent(older, leafHash(Buffer.from('other')), size, root, proof)).toBe(false);
    }
  }
});

test('a tree that continues from its frontier equals one that was kept in memory', () => {
  fc.assert(
    fc.property(fc.nat(200), fc.nat(200), (before, after) => {
      const all = Array.from({ length: before + after }, (_, index) =>
        leafHash(Buffer.from(String(index))),
      );
      const kept = treeOf(all.slice(0, before));
      const continued = new Tree(kept.size, kept.frontier);
      for (const leaf of all.slice(before)) continued.append(leaf);
      expect(continued.root()).toBe(treeOf(all).root());
    }),
  );
  expect(() => new Tree(3, [emptyRoot])).toThrow('does not fit');
});

test('a leaf hashed in place equals one hashed from a copy, and base64 is reversible', () => {
  const block = Buffer.from('\nrecord');
  expect(leafHashInPlace(block, 1, 7)).toBe(leafHash(Buffer.from('record')));
  expect(hashOf(base64Of(emptyRoot))).toBe(emptyRoot);
  expect([hashOf(''), hashOf('AAAA'), hashOf(`${base64Of(emptyRoot)} `)]).toEqual([
    null,
    null,
    null,
  ]);
});

test('a proof for a size or a place that cannot be is none', () => {
  const [leaf] = leaves as [Hash];
  const root = treeOf(leaves).root();

  expect([-1, 8, 9].map((index) => rootFromInclusion(leaf, index, 8, []))).toEqual([
    null,
    null,
    null,
  ]);
  expect(isConsistent(-1, emptyRoot, 8, root, [])).toBe(false);
  expect(isConsistent(9, root, 8, root, [])).toBe(false);
  expect(isConsistent(0, emptyRoot, 8, root, [])).toBe(true);
  expect(isConsistent(8, root, 8, root, [])).toBe(true);
  for (const size of [-1, 0.5, Number.NaN, 2 ** 53])
    expect(() => new Tree(size, [])).toThrow('the frontier does not fit the size');
  expect(() => new Tree(1, [])).toThrow('the frontier does not fit the size');
});
