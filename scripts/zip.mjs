// A zip archive in memory (APPNOTE 6.3.10): deflated, readable for everybody, all dates the same,
// so that the same files give the same bytes.

import { crc32, deflateRawSync } from 'node:zlib';

/** 1980-01-01, the first day that the format knows. */
const dosDate = 0x0021;
const isUnix = 3 << 8;

/** The archive of `files` ({ path, contents: Uint8Array }), in the order of their names. */
export function zip(files) {
  const parts = [];
  const entries = [];
  let offset = 0;
  for (const { path, contents } of [...files].sort((a, b) => (a.path < b.path ? -1 : 1))) {
    const name = Buffer.from(path, 'utf8');
    const deflated = deflateRawSync(contents, { level: 9 });
    // Both headers carry the same 26 bytes: version, flags (UTF-8 name), method, time, date, crc,
    // sizes, name length, no extra.
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(0x0800, 2);
    common.writeUInt16LE(8, 4);
    common.writeUInt16LE(dosDate, 8);
    common.writeUInt32LE(crc32(contents), 10);
    common.writeUInt32LE(deflated.length, 14);
    common.writeUInt32LE(contents.length, 18);
    common.writeUInt16LE(name.length, 22);
    const local = Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), common, name]);
    parts.push(local, deflated);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE((0o100644 << 16) >>> 0, 6);
    rest.writeUInt32LE(offset, 10);
    const madeBy = Buffer.alloc(2);
    madeBy.writeUInt16LE(20 | isUnix, 0);
    entries.push(Buffer.concat([Buffer.from('PK\x01\x02', 'latin1'), madeBy, common, rest, name]));
    offset += local.length + deflated.length;
  }
  const directory = Buffer.concat(entries);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 0, 'latin1');
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, directory, end]);
}
